package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes foreign text safe to print on one line of a terminal: control
// characters, which could move the cursor, rename the window or worse, and
// format characters, which could reverse the text's order, become visible
// escapes.
func clean(text string) string {
	if !strings.ContainsFunc(text, unsafeRune) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unsafeRune(r):
			b.WriteString(escapeRune(r))
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// cleanJSON does the same to JSON without changing what it means: such
// characters can only stand inside strings, where JSON has escapes for them.
func cleanJSON(json []byte) []byte {
	if !bytes.ContainsFunc(json, unsafeRune) {
		return json
	}
	var b bytes.Buffer
	for _, r := range string(json) {
		if unsafeRune(r) {
			b.WriteString(escapeRune(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// unsafeRune reports whether a terminal may do anything but show the rune.
func unsafeRune(r rune) bool { return !unicode.IsPrint(r) }

// escapeRune writes a rune as JSON does: beyond 16 bits as two surrogates.
func escapeRune(r rune) string {
	if r <= 0xffff {
		return fmt.Sprintf(`\u%04x`, r)
	}
	r -= 0x10000
	return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
}

// shorten cuts text to a number of characters.
func shorten(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit]) + "…"
}
