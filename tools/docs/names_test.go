package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// Whoever meets a reason in an error finds on a page what to do about it.
func TestReasonsAreExplained(t *testing.T) {
	t.Parallel()
	var explained strings.Builder
	for _, file := range []string{"docs/consumers.md", "docs/operations.md"} {
		explained.WriteString(prose(t, file))
	}
	words := regexp.MustCompile(`[A-Z_]+`).FindAllString(explained.String(), -1)
	reason := regexp.MustCompile(`(?:\breason\w*:?\s*[:=]?\s*|\brefuseSignature\w*\(|\bstatusError\(codes\.\w+, )"([A-Z_]+)"`)
	given := 0
	for _, found := range reason.FindAllStringSubmatch(serverCode(t), -1) {
		if found[1] == "CLIENT_LEFT" {
			continue // nobody is there any more to read it
		}
		given++
		require.True(t, slices.Contains(words, found[1]), "no page says what to do about %s", found[1])
	}
	require.Greater(t, given, 40)
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
