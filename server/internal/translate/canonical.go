package translate

import (
	"slices"
	"strings"
)

// Two callbacks are the same event when they differ only in the order of
// members, in white space and in how strings are escaped: a provider that
// delivers again may serialise again. Everything else tells them apart, so the
// canonical form works on tokens and knows no numbers: 1 and 1.0 differ, and
// integers above 2^53 keep their digits.
//
// The form is JSON text: no white space; members sorted by the bytes of their
// names with escapes undone, those of one name in the order sent; numbers as
// sent; in strings only the quotation mark and the backslash (by a backslash),
// control characters and lone surrogates (by \u and four digits) escaped.

// canonicalizer writes values of one document in canonical form.
type canonicalizer struct {
	doc *document
	out []byte
	// members is a stack: those of the objects being written, outermost first.
	members []member
	// replaced holds what is written in place of some arrays; there are few.
	replaced []replacement
}

// member is one member of an object on its way to be sorted.
type member struct {
	name string // escapes undone
	at   int32  // of the name's node
}

// replacement is the text that stands for an array.
type replacement struct {
	array value
	text  []byte
}

func newCanonicalizer(doc *document) *canonicalizer {
	return &canonicalizer{
		doc:     doc,
		out:     make([]byte, 0, len(doc.body)),
		members: make([]member, 0, min(len(doc.nodes)/2, 16)), // a member has two nodes
	}
}

// value returns the canonical form of a value with some arrays replaced. The
// next call overwrites it.
func (c *canonicalizer) value(v value, replaced ...replacement) []byte {
	c.out, c.replaced = c.out[:0], replaced
	c.write(v.at)
	return c.out
}

// array returns the canonical form of an array of these elements. The next call
// overwrites it.
func (c *canonicalizer) array(elements []element) []byte {
	c.out, c.replaced = append(c.out[:0], '['), nil
	for i, e := range elements {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.write(e.at)
	}
	c.out = append(c.out, ']')
	return c.out
}

// write recurses as deep as the document nests: callers keep that to MaxDepth.
func (c *canonicalizer) write(at int32) {
	switch v := (value{c.doc, at}); v.kind() {
	case kindObject:
		c.writeObject(v)
	case kindArray:
		c.writeArray(v)
	default:
		c.writeScalar(v)
	}
}

func (c *canonicalizer) writeObject(v value) {
	base := len(c.members)
	c.pushMembers(v)
	top := len(c.members)
	slices.SortFunc(c.members[base:], func(a, b member) int {
		if order := strings.Compare(a.name, b.name); order != 0 {
			return order
		}
		return int(a.at - b.at) // one name several times: as sent
	})
	c.out = append(c.out, '{')
	for i := base; i < top; i++ {
		if i > base {
			c.out = append(c.out, ',')
		}
		at := c.members[i].at
		c.writeScalar(value{c.doc, at})
		c.out = append(c.out, ':')
		c.write(at + 1)
	}
	c.out = append(c.out, '}')
	c.members = c.members[:base]
}

func (c *canonicalizer) pushMembers(v value) {
	isName := true
	for child := range v.children() {
		if isName {
			c.members = append(c.members, member{child.content(), child.at})
		}
		isName = !isName
	}
}

func (c *canonicalizer) writeArray(v value) {
	for _, r := range c.replaced {
		if r.array == v {
			c.out = append(c.out, r.text...)
			return
		}
	}
	c.out = append(c.out, '[')
	first := true
	for child := range v.children() {
		if !first {
			c.out = append(c.out, ',')
		}
		first = false
		c.write(child.at)
	}
	c.out = append(c.out, ']')
}

func (c *canonicalizer) writeScalar(v value) {
	if v.node().escaped {
		c.out = appendEscaped(c.out, v.content())
		return
	}
	c.out = append(c.out, v.source()...) // nothing in it needs an escape
}

// appendEscaped appends a string's content, as appendUnescaped makes it, with
// the escapes of the canonical form.
func appendEscaped(dst []byte, content string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = appendLongEscape(dst, rune(c))
		case isSurrogateAt(content, i):
			dst = appendLongEscape(dst, rune(c&0x0F)<<12|rune(content[i+1]&0x3F)<<6|rune(content[i+2]&0x3F))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func appendLongEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&0xF], hex[r>>8&0xF], hex[r>>4&0xF], hex[r&0xF])
}

// compact is the form for bodies nested deeper than MaxDepth, which the
// canonical form would have to recurse into: the tokens as sent, in the order
// sent, without white space. Members in another order make another id there.
func compact(doc *document) []byte {
	out := make([]byte, 0, len(doc.body))
	inString, escaped := false, false
	for _, c := range doc.body {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && isSpace(c):
			continue
		}
		out = append(out, c)
	}
	return out
}
