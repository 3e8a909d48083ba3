package apidoc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newDocs(t *testing.T) *Docs {
	t.Helper()
	docs, err := New()
	require.NoError(t, err)
	return docs
}

// The document is what OpenAPI 2.0 asks for, as far as that is not left to the tools
// that read it.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	document := newDocs(t).Document()
	var top struct {
		Swagger             string
		Info                struct{ Title, Version string }
		SecurityDefinitions map[string]any
		Security            []map[string]any
	}
	require.NoError(t, json.Unmarshal(document, &top))
	require.Equal(t, "2.0", top.Swagger)
	require.NotEmpty(t, top.Info.Title)
	require.NotEmpty(t, top.Info.Version)
	require.Contains(t, top.SecurityDefinitions, "bearer")
	require.Contains(t, top.Security[0], "bearer")

	var v view
	require.NoError(t, json.Unmarshal(document, &v))
	for _, match := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllSubmatch(document, -1) {
		_, there := v.Definitions.get(strings.TrimPrefix(string(match[1]), "#/definitions/"))
		require.True(t, there, "%s leads nowhere", match[1])
	}
	ids := make(map[string]bool)
	for _, o := range v.operations() {
		require.False(t, ids[o.OperationID], "%s is there twice", o.OperationID)
		ids[o.OperationID] = true
		_, collides := v.Definitions.get(o.OperationID)
		require.False(t, collides, "%s is a message too", o.OperationID)
		require.NotEmpty(t, o.Summary, o.OperationID)
		require.Len(t, o.Tags, 1, o.OperationID)
		checkParameters(t, o)
		_, ok := o.Responses.get("200")
		require.True(t, ok, o.OperationID)
		for _, r := range o.Responses {
			require.NotEmpty(t, r.Value.Description, o.OperationID)
		}
	}
	for _, d := range v.Definitions {
		for _, p := range d.Value.Properties {
			require.True(t, p.Value.Shape().Name != "" || d.Name == "Any", "%s.%s", d.Name, p.Name)
		}
	}
}

func checkParameters(t *testing.T, o operation) {
	t.Helper()
	for _, p := range o.Parameters {
		require.NotEmpty(t, p.Name, o.OperationID)
		switch p.In {
		case "path":
			require.True(t, p.Required, p.Name)
			require.Contains(t, o.Path, "{"+p.Name+"}")
		case "body":
			require.NotNil(t, p.Schema, o.OperationID)
		case "query", "header":
			require.NotEmpty(t, p.Type, p.Name)
		default:
			require.Fail(t, "a parameter is nowhere", "%s of %s", p.Name, o.OperationID)
		}
	}
}

// The page tells all of the document, and a browser is told to load and run nothing
// but its style sheet.
func TestPageTellsAll(t *testing.T) {
	t.Parallel()
	docs := newDocs(t)
	served := httptest.NewRecorder()
	docs.ServePage(served, nil)
	page := served.Body.String()
	var v view
	require.NoError(t, json.Unmarshal(docs.Document(), &v))
	var anchors []string
	for _, o := range v.operations() {
		anchors = append(anchors, o.OperationID)
	}
	for _, d := range v.Definitions {
		anchors = append(anchors, d.Name)
		for _, p := range d.Value.Properties {
			require.Contains(t, page, "<code>"+p.Name+"</code>")
		}
	}
	for _, a := range anchors {
		require.Contains(t, page, `<h3 id="`+a+`">`)
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if anchor, local := strings.CutPrefix(link[1], "#"); local {
			require.True(t, slices.Contains(anchors, anchor), "%s leads nowhere", link[1])
			continue
		}
		require.Equal(t, "/openapi.json", link[1])
	}
	require.NotRegexp(t, `(?i)<script|<img|<link|<iframe| src=| on[a-z]+=|style=`, page)

	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := served.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	require.Contains(t, policy, "frame-ancestors 'none'")
	require.Equal(t, "text/html; charset=utf-8", served.Header().Get("Content-Type"))
}

// What a document says is text on the page, never markup.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	page, _, err := render([]byte(`{"info":{"title":"<script>"},"paths":{"/<b>":{"get":{"summary":"<i>","operationId":"\"><u>","tags":["x"]}}},
		"definitions":{"D":{"description":"<img src=x>","properties":{"p":{"type":"<s>"}}}}}`))
	require.NoError(t, err)
	require.NotRegexp(t, `<script|<b>|<i>|<u>|<img|<s>`, string(page))
	require.Contains(t, string(page), "&lt;img src=x&gt;")
}

func TestFlow(t *testing.T) {
	t.Parallel()
	require.Equal(t, "one two\n\nthree\n - a four\n - b", flow("one\ntwo\n\nthree\n - a\nfour\n - b"))
	require.Equal(t, "A b.", first("A\nb. C."))
	require.Equal(t, "A b.", first("A b."))
}

// Two parts that tell of the same path are a mistake, and so is what is no document.
func TestPartsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, parts := range [][2]string{
		{`{"paths":{"/a":{}}}`, `{"paths":{"/a":{}}}`},
		{`[]`, `{}`},
		{`{}`, `{"paths":[]}`},
		{`{"paths":{`, `{}`},
		{``, `{}`},
	} {
		_, err := join([]byte(parts[0]), []byte(parts[1]))
		require.Error(t, err, parts)
	}
	joined, err := join([]byte(`{"z":1,"paths":{"/b":{}},"a":[]}`), []byte(`{"paths":{"/a":{"get":{}}}}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"z":1,"paths":{"/b":{},"/a":{"get":{}}},"a":[]}`, string(joined))
	require.Less(t, strings.Index(string(joined), "/b"), strings.Index(string(joined), "/a"), "in order")
}
