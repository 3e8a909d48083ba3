// Package callbacks holds NXCloud's own example callbacks, for trying a server
// out and for tests.
//
// They are the sixteen examples of NXCloud's phone webhook page (GitHub wiki
// nxtele/http-api-document), content unchanged: "xxx" stands where the provider
// masked an id. The package promises these bodies and their names, nothing
// about what a server makes of them.
package callbacks

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

// A variable only because go:embed fills nothing else.
//
//go:embed nxcloud/*.json
var files embed.FS

// Callback is one example.
type Callback struct {
	// Name tells what it is about, for instance
	// "account_update.disabled_update.reinstate".
	Name string
	// Body is the HTTP body as the provider's page shows it: indented JSON.
	Body []byte
}

// NXCloud returns NXCloud's examples sorted by name. Every call returns copies
// of its own, so callers may change them.
func NXCloud() []Callback {
	const dir = "nxcloud"
	entries, err := files.ReadDir(dir)
	mustBeEmbedded(err)
	callbacks := make([]Callback, len(entries))
	for i, entry := range entries {
		body, err := files.ReadFile(path.Join(dir, entry.Name()))
		mustBeEmbedded(err)
		callbacks[i] = Callback{Name: strings.TrimSuffix(entry.Name(), ".json"), Body: body}
	}
	return callbacks
}

// mustBeEmbedded spares every caller an error that no input can cause: the
// files are part of the program, and the build fails without them.
func mustBeEmbedded(err error) {
	if err != nil {
		panic(fmt.Sprintf("read embedded callbacks: %v", err))
	}
}
