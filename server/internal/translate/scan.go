package translate

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Why there is a scanner here instead of encoding/json: that package refuses
// what nests deeper than 10,000 and, decoding into Go values, matches member
// names whatever their case, makes float64 of numbers unless told otherwise,
// replaces invalid UTF-8 and lone surrogates silently, and keeps one of several
// members of the same name. Each of these would lose something authentic or give
// two different callbacks one id.
//
// The scanner checks a body against RFC 8259 in one pass and leaves a tape: a
// flat list of nodes in the order of the text. It does not recurse, so nesting
// costs no stack, and skipping a subtree is one step, so looking a name up is
// linear.

// kind is what a node is. The zero kind is that of a value that is not there.
type kind uint8

const (
	kindAbsent kind = iota
	kindNull
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// node is one value or member name on the tape. The children of an array are its
// elements, those of an object alternate between name and value.
type node struct {
	// start and end bound the node's text in the body.
	start, end int32
	// next is the index of the first node that is not inside this one. While a
	// container is open it is the index of the container around it instead.
	next int32
	kind kind
	// escaped says that a string has at least one escape.
	escaped bool
}

// document is a scanned body.
type document struct {
	body []byte
	// text is the body once more, so that what is read out of it needs no copy
	// of its own. Whatever outlives the callback must be cloned: it would keep
	// all of the text in memory.
	text  string
	nodes []node
	// depth is the deepest nesting: 0 for a scalar, 1 for [].
	depth int
}

// scan returns the tape of a body, or an error that matches ErrNotJSON and says
// where the body stops being JSON. It quotes nothing: bodies hold personal data.
func scan(body []byte) (*document, error) {
	if err := checkAddressable(len(body)); err != nil {
		return nil, err
	}
	s := scanner{document: document{body: body, nodes: make([]node, 0, len(body)/usualNodeBytes+4)}, open: outermost}
	if err := s.whole(); err != nil {
		return nil, err
	}
	s.text = string(body)
	return &s.document, nil
}

// checkAddressable keeps offsets within the 32 bits that a node has for them.
func checkAddressable(size int) error {
	if size > math.MaxInt32 {
		return fmt.Errorf("body of %d bytes: at most %d can be read", size, math.MaxInt32)
	}
	return nil
}

// usualNodeBytes is how many bytes of a body a node stands for in most bodies, at
// the least. Where it is fewer, the tape grows.
const usualNodeBytes = 10

// outermost stands for the container around the top-level value.
const outermost = -1

type scanner struct {
	document
	pos int
	// open is the innermost container that is not closed yet.
	open  int32
	level int
}

// whole reads the whole body: one value with nothing but white space around it.
func (s *scanner) whole() error {
	for more := true; more; {
		entered, err := s.value()
		if err != nil {
			return err
		}
		if entered {
			continue
		}
		if more, err = s.afterValue(); err != nil {
			return err
		}
	}
	if s.skipSpace(); s.pos < len(s.body) {
		return s.expected("nothing more")
	}
	return nil
}

// value reads a scalar, an empty container, or the beginning of a container up
// to where its first value is due, which it reports as entered.
func (s *scanner) value() (entered bool, err error) {
	s.skipSpace()
	switch c := s.peek(); {
	case c == '{':
		return s.enter(kindObject, '}')
	case c == '[':
		return s.enter(kindArray, ']')
	case c == '"':
		return false, s.string()
	case c == '-' || isDigit(c):
		return false, s.number()
	case c == 't':
		return false, s.literal("true", kindBool)
	case c == 'f':
		return false, s.literal("false", kindBool)
	case c == 'n':
		return false, s.literal("null", kindNull)
	}
	return false, s.expected("a value")
}

func (s *scanner) enter(k kind, closing byte) (entered bool, err error) {
	s.add(node{start: int32(s.pos), next: s.open, kind: k})
	s.open = int32(len(s.nodes) - 1)
	s.level++
	s.depth = max(s.depth, s.level)
	s.pos++
	s.skipSpace()
	if s.peek() == closing {
		s.leave()
		return false, nil
	}
	if k == kindObject {
		return true, s.name("a member name or '}'")
	}
	return true, nil
}

// leave closes the innermost container; pos is on its closing bracket.
func (s *scanner) leave() {
	s.pos++
	s.level--
	n := &s.nodes[s.open]
	s.open, n.next, n.end = n.next, int32(len(s.nodes)), int32(s.pos)
}

// afterValue closes every container that ends here and reads up to where the
// next value is due. It reports false when the top-level value has ended.
func (s *scanner) afterValue() (more bool, err error) {
	for s.open != outermost {
		inObject := s.nodes[s.open].kind == kindObject
		s.skipSpace()
		switch c := s.peek(); {
		case c == ',' && inObject:
			s.pos++
			s.skipSpace()
			return true, s.name("a member name")
		case c == ',':
			s.pos++
			return true, nil
		case c == '}' && inObject, c == ']' && !inObject:
			s.leave()
		case inObject:
			return false, s.expected("',' or '}'")
		default:
			return false, s.expected("',' or ']'")
		}
	}
	return false, nil
}

// name reads a member's name and the colon after it.
func (s *scanner) name(what string) error {
	if s.peek() != '"' {
		return s.expected(what)
	}
	if err := s.string(); err != nil {
		return err
	}
	s.skipSpace()
	if s.peek() != ':' {
		return s.expected("':'")
	}
	s.pos++
	return nil
}

func (s *scanner) string() error {
	start, escaped := s.pos, false
	s.pos++
	for {
		switch c := s.peek(); {
		case s.pos == len(s.body):
			return s.expected("the end of the string")
		case c == '"':
			s.pos++
			s.addScalar(kindString, start, escaped)
			return nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.expected("an escape in place of a control character")
		case c < utf8.RuneSelf:
			s.skipPlain()
		default:
			_, size := utf8.DecodeRune(s.body[s.pos:])
			if size == 1 { // only of bytes that are not UTF-8
				return s.expected("valid UTF-8")
			}
			s.pos += size
		}
	}
}

func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if !isHex(s.peek()) {
				return s.expected("a hexadecimal digit")
			}
			s.pos++
		}
		return nil
	}
	return s.expected("an escape that JSON has")
}

func (s *scanner) number() error {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' { // nothing but a fraction or exponent may follow
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if err := s.digits(); err != nil {
			return err
		}
	}
	s.addScalar(kindNumber, start, false)
	return nil
}

func (s *scanner) digits() error {
	if !isDigit(s.peek()) {
		return s.expected("a digit")
	}
	for isDigit(s.peek()) {
		s.pos++
	}
	return nil
}

func (s *scanner) literal(word string, k kind) error {
	start := s.pos
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.expected(word)
		}
		s.pos++
	}
	s.addScalar(k, start, false)
	return nil
}

// peek returns the byte at pos, and 0 at the end: no token has that byte.
func (s *scanner) peek() byte {
	if s.pos < len(s.body) {
		return s.body[s.pos]
	}
	return 0
}

// skipPlain passes over characters of a string that need no second look: nearly
// all of most bodies.
func (s *scanner) skipPlain() {
	for s.pos < len(s.body) && isPlain(s.body[s.pos]) {
		s.pos++
	}
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.body) && isSpace(s.body[s.pos]) {
		s.pos++
	}
}

func (s *scanner) addScalar(k kind, start int, escaped bool) {
	next := int32(len(s.nodes) + 1)
	s.add(node{start: int32(start), end: int32(s.pos), next: next, kind: k, escaped: escaped})
}

func (s *scanner) add(n node) { s.nodes = append(s.nodes, n) }

func (s *scanner) expected(what string) error {
	if s.pos == len(s.body) {
		return fmt.Errorf("%w: at byte %d, its end: expected %s", ErrNotJSON, s.pos, what)
	}
	return fmt.Errorf("%w: at byte %d: expected %s", ErrNotJSON, s.pos, what)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isPlain(c byte) bool { return ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
