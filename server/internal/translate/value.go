package translate

import (
	"iter"
	"strings"
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
func (v value) source() string {
	if v.doc == nil {
		return ""
	}
	n := v.node()
	return v.doc.text[n.start:n.end]
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
		v = value{}
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
	nodes, quoted := v.doc.nodes, len(name)+len(`""`)
	for i, end := v.at+1, nodes[v.at].next; i < end; i = nodes[i+1].next {
		if n := &nodes[i]; !n.escaped && int(n.end-n.start) != quoted {
			continue // most names are told apart by their length
		}
		if v.doc.named(i, name) {
			found = value{v.doc, i + 1}
		}
	}
	return found
}

func (d *document) named(at int32, name string) bool {
	v := value{d, at}
	if v.node().escaped {
		return string(appendUnescaped(nil, v.quoted())) == name
	}
	return v.quoted() == name
}

// text returns a string's content, always valid UTF-8, or a number as it is
// written: the provider sends ids and times as either. Every other kind has no
// text. It may share the memory of the document's text.
func (v value) text() string {
	switch v.kind() {
	case kindString:
		return v.stringText()
	case kindNumber:
		return v.source()
	}
	return ""
}

func (v value) stringText() string {
	if v.node().escaped {
		return string(replaceSurrogates(appendUnescaped(nil, v.quoted())))
	}
	return v.quoted()
}

// content returns the bytes of a string or name with escapes undone, lone
// surrogates as appendUnescaped leaves them. It may share the memory of the
// document's text.
func (v value) content() string {
	if v.node().escaped {
		return string(appendUnescaped(nil, v.quoted()))
	}
	return v.quoted()
}

// quoted returns what is between the quotation marks of a string or name.
func (v value) quoted() string {
	source := v.source()
	return source[1 : len(source)-1]
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
func appendUnescaped(dst []byte, content string) []byte {
	for {
		i := strings.IndexByte(content, '\\')
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
func isSurrogateAt[text string | []byte](s text, i int) bool { return s[i] == 0xED && s[i+1] >= 0xA0 }

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
func longEscape(s string) (r rune, size int) {
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

func hexRune(digits string) (r rune) {
	for i := range len(digits) {
		c := digits[i]
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
