// Package apidoc is the document of the API over HTTP: OpenAPI 2.0, as JSON for tools
// and as a page for people.
//
// The calls of the contract are in it as generated from proto/; what no gRPC method
// answers is written by hand. It guarantees that what it serves is the same on every
// server of a version, and tells nothing of the one that serves it; and that the page
// is one text that loads nothing and runs nothing.
//
// That the document has every path that is served, and no other, is for a test of
// those who serve it.
package apidoc

import (
	_ "embed" // the parts of the document
	"fmt"
	"net/http"
)

// generated are the calls of the contract: written by `make generate`.
//
//go:embed generated/api.swagger.json
var generated []byte

// byHand are the paths that no gRPC method answers.
//
//go:embed by_hand.json
var byHand []byte

// Docs serves the document. It is safe for concurrent use.
type Docs struct {
	document []byte
	page     []byte
	policy   string // what the page may do
}

// New makes the document and its page.
func New() (*Docs, error) {
	document, err := join(generated, byHand)
	if err != nil {
		return nil, fmt.Errorf("make the document of the API: %w", err)
	}
	page, policy, err := render(document)
	if err != nil {
		return nil, fmt.Errorf("make the page of the API: %w", err)
	}
	return &Docs{document, page, policy}, nil
}

// Document returns the document.
func (d *Docs) Document() []byte { return d.document }

// ServeDocument answers with the document as JSON.
func (d *Docs) ServeDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(d.document)
}

// ServePage answers with the page.
func (d *Docs) ServePage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", d.policy)
	header.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(d.page)
}
