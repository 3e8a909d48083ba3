package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// maxProblems bounds what one file has said about it.
	maxProblems = 20
	// maxNameShown bounds how much of an unknown member's name is repeated.
	maxNameShown = 40
)

// reader reads YAML strictly, and collects what is wrong with it.
type reader struct {
	problems []error
	more     int
}

// node is a value and its place, as in "consumers[2].waba_ids".
type node struct {
	*yaml.Node
	place string
}

// refuse says what is wrong with a value.
func (r *reader) refuse(n node, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	where := fmt.Sprintf("line %d", n.Line)
	if n.place != "" {
		where = fmt.Sprintf("%s (line %d)", n.place, n.Line)
	}
	r.problems = append(r.problems, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

// err is nil if nothing is wrong, else every problem, a line each.
func (r *reader) err() error {
	if r.more > 0 {
		return errors.Join(append(slices.Clone(r.problems), fmt.Errorf("and %d more", r.more))...)
	}
	return errors.Join(r.problems...)
}

// parse returns the one document that the data holds.
func parse(data []byte) (node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, rest yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return node{}, errors.New("holds nothing")
		}
		return node{}, err
	}
	if err := decoder.Decode(&rest); !errors.Is(err, io.EOF) {
		return node{}, errors.New("holds more than one document; remove what follows the line of dashes")
	}
	if len(document.Content) == 0 {
		return node{}, errors.New("holds nothing")
	}
	return node{document.Content[0], ""}, nil
}

// members has each member of a mapping read by the function of its name. Unknown
// names, names that are set twice and empty values are refused.
func (r *reader) members(n node, known map[string]func(node)) {
	if !r.is(n, yaml.MappingNode, "members such as "+strings.Join(slices.Sorted(maps.Keys(known)), ", ")) {
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		read, ok := known[name]
		switch at := (node{key, n.place}); {
		case key.Kind != yaml.ScalarNode || !ok:
			r.refuse(at, "unknown member %q; known are %s", name[:min(len(name), maxNameShown)], strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[name]:
			r.refuse(at, "%s is set twice", name)
		case value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null":
			r.refuse(at, "%s is empty; give it a value, or leave it out", name)
		default:
			read(node{value, strings.TrimPrefix(n.place+"."+name, ".")})
		}
		seen[name] = true
	}
}

// items has each item of a list read.
func (r *reader) items(n node, read func(node)) {
	if !r.is(n, yaml.SequenceNode, "a list") {
		return
	}
	for i, item := range n.Content {
		read(node{item, fmt.Sprintf("%s[%d]", n.place, i)})
	}
}

func (r *reader) is(n node, kind yaml.Kind, want string) bool {
	switch n.Kind {
	case kind:
		return true
	case yaml.AliasNode:
		r.refuse(n, "aliases are not followed here; write it out")
	default:
		r.refuse(n, "want %s", want)
	}
	return false
}

func isMapping(n node) bool { return n.Kind == yaml.MappingNode }

// has reports whether a mapping has a member, whatever its value.
func has(n node, member string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == member {
			return true
		}
	}
	return false
}

// text reads a text, which is not repeated if it is none, except for numbers.
func (r *reader) text(n node) (string, bool) {
	if !r.is(n, yaml.ScalarNode, "a text") {
		return "", false
	}
	switch tag := n.ShortTag(); {
	case tag == "!!int" || tag == "!!float":
		r.refuse(n, "%s is a number to YAML, which may change it; put it in quotes: %q", n.Value, n.Value)
	case tag != "!!str":
		r.refuse(n, "not a text to YAML; put it in quotes")
	case strings.TrimSpace(n.Value) == "":
		r.refuse(n, "empty")
	case strings.ContainsFunc(n.Value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.refuse(n, "holds a line break or another control character")
	case len(n.Value) > maxTextBytes:
		r.refuse(n, "%d bytes; at most %d are allowed", len(n.Value), maxTextBytes)
	default:
		return n.Value, true
	}
	return "", false
}

// flag reads true or false.
func (r *reader) flag(n node) bool {
	value, err := strconv.ParseBool(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || err != nil {
		r.refuse(n, "want true or false")
		return false
	}
	return value
}

// count reads a number that is at least one.
func (r *reader) count(n node) int {
	value, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || value < 1 {
		r.refuse(n, "want a number, at least 1")
		return 0
	}
	return value
}

// time reads an RFC 3339 time, in quotes or not.
func (r *reader) time(n node) time.Time {
	value, err := time.Parse(time.RFC3339, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || value.IsZero() {
		r.refuse(n, "want a time with its zone, such as 2027-01-31T00:00:00Z")
		return time.Time{}
	}
	return value.UTC()
}
