// Command catalogue prints docs/events.md, the catalogue of event types:
//
//	go run ./server/internal/catalogue >docs/events.md
//
// What it says comes from the contract, its comments included, from the provider's
// examples, and from what package translate makes of them: a type is listed because
// a callback became it just now. It reads the generated code of the contract, so it
// runs in the repository, in whatever folder; a test fails when the page is stale.
//
// It lists what the contract has words for, not what the provider may yet invent:
// that has types, too, by the rule that the page ends with.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

// run writes the page.
func run(ctx context.Context, out io.Writer) error {
	root, err := repository(ctx)
	if err != nil {
		return err
	}
	comments, err := readComments(filepath.Join(root, "gen", "wabastream", "v1"))
	if err != nil {
		return err
	}
	page, err := newPage(comments)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, page)
	return err
}

// repository is the folder of the module.
func repository(ctx context.Context) (string, error) {
	file, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(file))), nil
}
