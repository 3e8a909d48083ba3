package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A metric that a page names is one that a server has, and no page names one that it
// had once.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	code := serverCode(t)
	metric := regexp.MustCompile("`(wabastream_[a-z_]+)`")
	named := 0
	for _, file := range markdown(t) {
		for _, found := range metric.FindAllStringSubmatch(prose(t, file), -1) {
			named++
			require.Contains(t, code, `"`+found[1]+`"`, "%s names a metric", file)
		}
	}
	require.Positive(t, named)
}

// serverCode is the server's code without its tests.
func serverCode(t *testing.T) string {
	t.Helper()
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(filepath.Join(root(t), "server"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	}))
	return code.String()
}
