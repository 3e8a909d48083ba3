//go:build examples

package behaviour_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a consumer may take for anything: the SDK finds a connection
// that went silent within 40 s.
const patience = 2 * time.Minute

// TestMain has no other way to tell.
//
//nolint:gochecknoglobals // see above
var (
	// programs is the folder of the programs that are compiled for the test.
	programs string
	// pages is the browser of all tests.
	pages *browser
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "behaviour")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	programs = folder
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "wabastreamd"), "../../server")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, out)
		return 1
	}
	if pages, err = startBrowser(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := pages.close(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
