package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"plain Ünïcödé 漢字 🙂":        "plain Ünïcödé 漢字 🙂",
		"\x1b]0;title\x07":          `\u001b]0;title\u0007`,
		"two\r\nlines\ttab":         `two\u000d\u000alines\u0009tab`,
		"\u009b31m":                 `\u009b31m`,
		"\u202eesrever":             `\u202eesrever`,
		"\u2028\u2029\ufeff\u200b":  `\u2028\u2029\ufeff\u200b`,
		"not \xff\xc3( UTF-8":       `not \xff\xc3( UTF-8`,
		"the rune \ufffd itself":    "the rune \ufffd itself",
		"beyond \U000e0001 16 bits": `beyond \udb40\udc01 16 bits`,
	} {
		require.Equal(t, want, clean(text), "%q", text)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J\u009b\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		cleaned := clean(text)
		if !utf8.ValidString(cleaned) || strings.ContainsFunc(cleaned, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("clean(%q) = %q", text, cleaned)
		}
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		cleanedJSON := cleanJSON(quoted)
		if strings.ContainsFunc(string(cleanedJSON), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("cleanJSON(%q) = %q", quoted, cleanedJSON)
		}
		var before, after string
		require.NoError(t, json.Unmarshal(quoted, &before))
		require.NoError(t, json.Unmarshal(cleanedJSON, &after))
		require.Equal(t, before, after)
	})
}
