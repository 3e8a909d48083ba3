package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
)

const (
	// tokenPrefix lets people, and scanners for lost secrets, know a token when they
	// see one.
	tokenPrefix   = "wst_"
	tokenBytes    = 32
	tokenAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	// hashPrefix says how a token was hashed.
	hashPrefix = "sha256:"
)

// NewToken makes a token, of 256 random bits, and its hash, as the access file
// wants it. A password has to be hashed slowly because it can be guessed; this
// cannot be, so that a plain SHA-256 keeps it as secret and costs a call nothing.
func NewToken() (token, hash string) {
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // never fails
	token = tokenPrefix + tokenEncoding().EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	return token, hashPrefix + hex.EncodeToString(sum[:])
}

func tokenEncoding() *base32.Encoding {
	return base32.NewEncoding(tokenAlphabet).WithPadding(base32.NoPadding)
}

// isToken reports whether a text has the form of a token.
func isToken(text string) bool {
	secret, ok := strings.CutPrefix(text, tokenPrefix)
	return ok && len(secret) == tokenEncoding().EncodedLen(tokenBytes) && strings.Trim(secret, tokenAlphabet) == ""
}

// hashOf reads a hash of the file. Its errors never repeat what it was given: that
// may be a token.
func hashOf(text string) (tokenCredential, error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return tokenCredential{}, errors.New("not the hash of a token; a token itself never belongs here. " +
			`Make a new one with "wabastreamd token new", which prints the line to paste, or get the hash of one that nobody else has seen: ` +
			"printf %s TOKEN | sha256sum, and write sha256: before it")
	}
	return tokenCredential(sum), nil
}
