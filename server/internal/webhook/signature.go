package webhook

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The six signature headers of NXCloud's signature page, in the spelling that
// net/http gives header names of any case.
const (
	headerAccessKey = "Accesskey"
	headerAction    = "Action"
	headerBizType   = "Biztype"
	headerTimestamp = "Ts"
	headerAlgorithm = "Algorithm"
	headerSign      = "Sign"
)

// decoySecret stands in for the secret of an access key that does not exist, so
// that refusing it takes the same work as refusing a wrong sign. It verifies
// nothing.
const decoySecret = "00000000000000000000000000000000"

// usualSignedBytes holds what of most callbacks is signed beside the body.
const usualSignedBytes = 128

type signature struct {
	accessKey, action, bizType, ts, sign string
	algorithm                            Algorithm
}

// signatureOf reads the signature of a callback, which still has to be verified; nil
// where the source takes the callback without.
func (s *source) signatureOf(header http.Header) (*signature, *refusal) {
	if len(s.keys) == 0 || s.allowUnsigned && !isSigned(header) {
		return nil, nil
	}
	sig, refused := readSignature(header)
	if refused != nil {
		return nil, refused
	}
	return &sig, nil
}

// verify checks a callback's signature over the bytes as received.
func (s *source) verify(sig *signature, body []byte, now time.Time) *refusal {
	if sig == nil {
		return nil
	}
	if err := s.check(*sig, body); err != nil {
		return refuseSignature("SIGNATURE_INVALID",
			"the signature does not verify: check the access key, its secret, the algorithm allowed for it, and that the body arrives unchanged", err)
	}
	return s.checkTime(sig.ts, now)
}

// check returns the cause for the log. The provider's answer is the same for
// every cause, or it would tell a stranger which access keys exist.
func (s *source) check(sig signature, body []byte) error {
	key, known := s.keys[sig.accessKey]
	if !known {
		key.Secret = decoySecret
	}
	want := digest(sig, body, key.Secret)
	got, err := hex.DecodeString(sig.sign)
	same := err == nil && subtle.ConstantTimeCompare(got, want) == 1
	switch {
	case !known:
		return errors.New("unknown access key")
	case !key.allows(sig.algorithm):
		return fmt.Errorf("algorithm %s is not allowed for the access key", sig.algorithm)
	case !same:
		return errors.New("wrong sign")
	}
	return nil
}

// allows reports whether the key's owner may sign with the algorithm.
func (k AccessKey) allows(a Algorithm) bool {
	if len(k.Algorithms) == 0 {
		return a == SHA256
	}
	return slices.Contains(k.Algorithms, a)
}

// checkTime runs after the digest: only who holds the secret, or a callback it
// signed, learns that a clock is off.
func (s *source) checkTime(ts string, now time.Time) *refusal {
	if s.tolerance == 0 {
		return nil
	}
	signed, ok := signingTime(ts)
	if ok && now.Sub(signed).Abs() <= s.tolerance {
		return nil
	}
	return refuseSignature("TIMESTAMP_OUTSIDE_TOLERANCE",
		"the ts header is too far from this server's clock: check both clocks, or widen the source's timestamp_tolerance",
		errors.New("timestamp outside tolerance"))
}

// signingTime reads a ts: milliseconds in NXCloud's examples, seconds when it
// is as short as seconds are until the year 2286.
func signingTime(ts string) (time.Time, bool) {
	n, err := strconv.ParseInt(ts, 10, 64)
	switch {
	case err != nil:
		return time.Time{}, false
	case len(ts) == 13:
		return time.UnixMilli(n), true
	case len(ts) == 10:
		return time.Unix(n, 0), true
	}
	return time.Time{}, false
}

// digest signs as NXCloud's signature page says: nothing escaped, nothing
// sorted, and no body part when the body is empty.
func digest(sig signature, body []byte, secret string) []byte {
	h := sig.algorithm.hash()
	text := make([]byte, 0, usualSignedBytes)
	for _, part := range []string{"accessKey=", sig.accessKey, "&action=", sig.action, "&bizType=", sig.bizType, "&ts=", sig.ts} {
		text = append(text, part...)
	}
	if len(body) > 0 {
		text = append(text, "&body="...)
	}
	h.Write(text)
	h.Write(body)
	text = append(append(text[:0], "&accessSecret="...), secret...)
	h.Write(text)
	return h.Sum(text[:0])
}

func (a Algorithm) hash() hash.Hash {
	if a == SHA256 {
		return sha256.New()
	}
	return md5.New()
}

// isSigned reports whether any signature header is there, even an empty one: a
// callback that tries to be signed must not pass as unsigned.
func isSigned(header http.Header) bool {
	for _, name := range []string{headerAccessKey, headerAction, headerBizType, headerTimestamp, headerAlgorithm, headerSign} {
		if _, ok := header[name]; ok {
			return true
		}
	}
	return false
}

// readSignature takes the headers and refuses every value that could make the
// signed string read in two ways: its parts are joined without escaping, so
// ts "1&body=X" with body "Y" would sign like ts "1" with another body.
func readSignature(header http.Header) (signature, *refusal) {
	var refused *refusal
	read := func(name string, valid func(string) bool, want string) (value string) {
		if refused != nil {
			return "" // the first refusal is the answer
		}
		if value, refused = single(header, name); refused == nil && !valid(value) {
			refused = refuseSignatureHeader("SIGNATURE_MALFORMED", name, "must be "+want)
		}
		return value
	}
	const token, digits, hexDigits = "letters, digits, _ and - only", "digits only", "hexadecimal digits only"
	sig := signature{
		accessKey: read(headerAccessKey, isToken, token),
		action:    read(headerAction, isToken, token),
		bizType:   read(headerBizType, isToken, token),
		ts:        read(headerTimestamp, isDigits, digits),
		sign:      read(headerSign, isHex, hexDigits),
	}
	if refused == nil {
		sig.algorithm, refused = readAlgorithm(header)
	}
	return sig, refused
}

// readAlgorithm goes by NXCloud's signature page: sha256 in any case is
// SHA-256, everything else MD5. An absent header is MD5 too: that is how
// NXCloud signed before it had the header.
func readAlgorithm(header http.Header) (Algorithm, *refusal) {
	if _, ok := header[headerAlgorithm]; !ok {
		return MD5, nil
	}
	value, refused := single(header, headerAlgorithm)
	if strings.EqualFold(value, string(SHA256)) {
		return SHA256, refused
	}
	return MD5, refused
}

// single returns a header's only value. Which of two values another party
// looked at cannot be known, so two are refused.
func single(header http.Header, name string) (string, *refusal) {
	switch values := header[name]; {
	case len(values) > 1:
		return "", refuseSignatureHeader("SIGNATURE_MALFORMED", name, "must be sent once")
	case len(values) == 0 || values[0] == "":
		return "", refuseSignatureHeader("SIGNATURE_MISSING", name, "is missing or empty")
	default:
		return values[0], nil
	}
}

func refuseSignatureHeader(reason, name, problem string) *refusal {
	text := fmt.Sprintf("header %q %s", strings.ToLower(name), problem)
	return refuseSignature(reason, text+": sign the callback with all of accesskey, action, biztype, ts, algorithm and sign", errors.New(text))
}

func isToken(s string) bool {
	return onlyOf(s, func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
	})
}

func isDigits(s string) bool {
	return onlyOf(s, func(c byte) bool { return '0' <= c && c <= '9' })
}

func isHex(s string) bool {
	return onlyOf(s, func(c byte) bool {
		return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
	})
}

// onlyOf reports whether s is not empty and holds only accepted bytes.
func onlyOf(s string, accepted func(byte) bool) bool {
	for i := range len(s) {
		if !accepted(s[i]) {
			return false
		}
	}
	return s != ""
}
