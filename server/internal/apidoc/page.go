package apidoc

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

// view is what the page shows of a document.
type view struct {
	Info struct{ Title, Description string }
	Tags []struct{ Name string }
	// Paths have operations by method, in lower case.
	Paths       members[members[operation]]
	Definitions members[schema]
}

type operation struct {
	Summary, Description, OperationID string
	Tags, Produces                    []string
	Parameters                        []parameter
	Responses                         members[response]
	Security                          *[]any // empty where nobody is asked who calls

	Method, Path string
}

// Open reports whether nobody is asked who calls.
func (o operation) Open() bool { return o.Security != nil && len(*o.Security) == 0 }

type parameter struct {
	schema
	Name, In string
	Required bool
	Schema   *schema // of a body
}

// Shape is what the parameter takes.
func (p parameter) Shape() shape {
	if p.Schema != nil {
		return p.Schema.Shape()
	}
	return p.schema.Shape()
}

type response struct {
	Description string
	Schema      *schema
}

// schema says what JSON something is.
type schema struct {
	Ref                       string `json:"$ref"`
	Type, Format, Description string
	Title                     string
	Enum                      []string
	Items                     *schema
	Properties                members[schema]
}

// shape is a schema in a word: a type, or the name of a definition.
type shape struct {
	List bool
	Name string
	Link bool // Name is a definition's
}

// Shape names what the schema is.
func (s schema) Shape() shape {
	switch {
	case s.Items != nil:
		inner := s.Items.Shape()
		inner.List = true
		return inner
	case s.Ref != "":
		return shape{Name: s.Ref[strings.LastIndex(s.Ref, "/")+1:], Link: true}
	case s.Format != "":
		return shape{Name: s.Type + " (" + s.Format + ")"}
	default:
		return shape{Name: s.Type}
	}
}

// Text is what there is to say of the schema.
func (s schema) Text() string { return strings.TrimSpace(s.Title + "\n\n" + s.Description) }

// flow undoes the line breaks of a comment, but for those between paragraphs and items.
func flow(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		switch item := strings.HasPrefix(line, " - "); {
		case line == "" && b.Len() > 0:
			b.WriteString("\n\n")
		case item:
			b.WriteString("\n" + line)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "\n"):
			b.WriteString(" " + line)
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// first returns the first sentence.
func first(text string) string {
	sentence, _, more := strings.Cut(flow(text), ". ")
	if !more {
		return sentence
	}
	return sentence + "."
}

// operations are those of all paths, those of a tag together.
func (v view) operations() []operation {
	var all []operation
	var tags []string
	for _, tag := range v.Tags {
		tags = append(tags, tag.Name)
	}
	for _, path := range v.Paths {
		for _, each := range path.Value {
			o := each.Value
			o.Method, o.Path = strings.ToUpper(each.Name), path.Name
			all = append(all, o)
			if !slices.Contains(tags, o.tag()) {
				tags = append(tags, o.tag())
			}
		}
	}
	slices.SortStableFunc(all, func(a, b operation) int {
		return slices.Index(tags, a.tag()) - slices.Index(tags, b.tag())
	})
	return all
}

func (o operation) tag() string { return strings.Join(o.Tags, " ") }

// render makes the page of a document, and the policy under which a browser is to show
// it: its own style sheet, and nothing else.
func render(document []byte) (page []byte, policy string, err error) {
	var v view
	if err := json.Unmarshal(document, &v); err != nil {
		return nil, "", err
	}
	t, err := template.New("page").Funcs(template.FuncMap{"flow": flow, "first": first}).Parse(pageHTML)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"Document": v, "Operations": v.operations()}); err != nil {
		return nil, "", err
	}
	_, rest, opened := bytes.Cut(b.Bytes(), []byte("<style>"))
	style, _, closed := bytes.Cut(rest, []byte("</style>"))
	if !opened || !closed {
		return nil, "", errors.New("the page has no style sheet")
	}
	sum := sha256.Sum256(style)
	policy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		base64.StdEncoding.EncodeToString(sum[:]))
	return b.Bytes(), policy, nil
}
