package eventlog

import (
	"strings"
	"unicode"
)

// NormalizePhone spells a phone number in the one way that headers and filters
// use: without "+", dashes, round and square brackets, white space, and the
// invisible marks that come along when a number is copied. Anything else stays,
// as the provider may send what is no number.
func NormalizePhone(number string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("+()[]", r) || unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf) {
			return -1
		}
		return r
	}, number)
}
