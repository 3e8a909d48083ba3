package translate

import (
	"bytes"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

// value is a place on a tape. The zero value is absent; everything may be asked
// of it and answers with nothing, so a path of members needs no checks between.
type value struct {
	doc *document
	at  int32
}

func (d *document) root() value { return value{doc: d} }

func (v value) node() node {
	if v.doc == nil {
		return node{}
	}
	return v.doc.nodes[v.at]
}

func (v value) kind() kind { return v.node().kind }

// present reports whether there is a value other than null.
func (v value) present() bool { return v.kind() > kindNull }

// source returns the value's text as received.
func (v value) source() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	return v.doc.body[n.start:n.end]
}

// children yields what is directly inside an array or object: its elements, or
// its names and values in turn.
func (v value) children() iter.Seq[value] {
	return func(yield func(value) bool) {
		if v.kind() < kindArray {
			return
		}
		for i := v.at + 1; i < v.node().next; i = v.doc.nodes[i].next {
			if !yield(value{v.doc, i}) {
				return
			}
		}
	}
}

// elements yields what is in an array; nothing for any other kind.
func (v value) elements() iter.Seq[value] {
	if v.kind() != kindArray {
		return value{}.children()
	}
	return v.children()
}

// member returns an object's value of that name, matched exactly; absent when
// there is none or v is no object. Of several the last counts, as with most
// parsers.
func (v value) member(name string) value {
	var found value
	if v.kind() != kindObject {
		return found
	}
	nodes := v.doc.nodes
	for i, end := v.at+1, nodes[v.at].next; i < end; i = nodes[i+1].next {
		if v.doc.named(i, name) {
			found = value{v.doc, i + 1}
		}
	}
	return found
}

func (d *document) named(at int32, name string) bool {
	n := &d.nodes[at]
	if n.escaped {
		return string(value{d, at}.content()) == name
	}
	return string(d.body[n.start+1:n.end-1]) == name
}

// text returns a string's content, always valid UTF-8, or a number as it is
// written: the provider sends ids and times as either. Every other kind has no
// text.
func (v value) text() string {
	switch v.kind() {
	case kindString:
		return v.stringText()
	case kindNumber:
		return string(v.source())
	}
	return ""
}

func (v value) stringText() string {
	if v.node().escaped {
		return string(replaceSurrogates(v.content()))
	}
	return string(v.content())
}

// content returns the bytes of a string or name with escapes undone, lone
// surrogates as appendUnescaped leaves them. It may share the body's memory.
func (v value) content() []byte {
	quoted := v.source()
	content := quoted[1 : len(quoted)-1]
	if v.node().escaped {
		return appendUnescaped(nil, content)
	}
	return content
}

// firstText returns the first text that is not empty.
func firstText(values ...value) string {
	for _, v := range values {
		if text := v.text(); text != "" {
			return text
		}
	}
	return ""
}

// appendUnescaped appends the content of a string with its escapes undone. A
// lone surrogate becomes the three bytes that UTF-8 would have for it if it
// allowed surrogates: no valid UTF-8 looks like that, so two different strings
// never become the same bytes.
func appendUnescaped(dst, content []byte) []byte {
	for {
		i := bytes.IndexByte(content, '\\')
		if i < 0 {
			return append(dst, content...)
		}
		dst = append(dst, content[:i]...)
		content = content[i+1:]
		if content[0] != 'u' {
			dst = append(dst, shortEscape(content[0]))
			content = content[1:]
			continue
		}
		r, size := longEscape(content)
		dst = appendRune(dst, r)
		content = content[size:]
	}
}

// replaceSurrogates makes what appendUnescaped returned valid UTF-8, in place:
// U+FFFD takes three bytes too.
func replaceSurrogates(s []byte) []byte {
	for i := range s {
		if isSurrogateAt(s, i) {
			copy(s[i:], "\uFFFD")
		}
	}
	return s
}

// isSurrogateAt reports whether appendUnescaped put a lone surrogate there. 0xED
// is never a continuation byte, and valid UTF-8 has less than 0xA0 after it.
func isSurrogateAt(s []byte, i int) bool { return s[i] == 0xED && s[i+1] >= 0xA0 }

func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // the quotation mark and both slashes stand for themselves
}

// longEscape reads uXXXX, or uXXXX\uXXXX when that is a surrogate pair.
func longEscape(s []byte) (r rune, size int) {
	const one, two = len("uXXXX"), len(`uXXXX\uXXXX`)
	r = hexRune(s[1:one])
	if !utf16.IsSurrogate(r) || len(s) < two || s[one] != '\\' || s[one+1] != 'u' {
		return r, one
	}
	if pair := utf16.DecodeRune(r, hexRune(s[one+2:two])); pair != utf8.RuneError {
		return pair, two
	}
	return r, one
}

func hexRune(digits []byte) (r rune) {
	for _, c := range digits {
		if isDigit(c) {
			r = r<<4 | rune(c-'0')
		} else {
			r = r<<4 | rune(c|0x20-'a'+10)
		}
	}
	return r
}

func appendRune(dst []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
	}
	return utf8.AppendRune(dst, r)
}
