package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is taken for a checkpoint is one, and is the same when it is saved again.
func FuzzParseCursor(f *testing.F) {
	for _, content := range []string{"", "\n", "c1\n", "c1\r\n", "c1", "c1\nc2\n", "c1\r\r\n", "c\x00\n", "c1 \n", "\r\n", "cé\n"} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		cursor, err := parseCursor(content)
		if err != nil {
			return
		}
		require.NoError(t, checkCursor(cursor))
		require.Contains(t, []string{cursor + "\n", cursor + "\r\n"}, string(content), "nothing but the cursor was there")
		again, err := parseCursor([]byte(cursor + "\n"))
		require.NoError(t, err)
		require.Equal(t, cursor, again)
	})
}

func TestReadCursorAcceptsBothLineEnds(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("c", maxCursorBytes)
	for content, want := range map[string]string{"c1\n": "c1", "c1\r\n": "c1", longest + "\r\n": longest} {
		path := filepath.Join(t.TempDir(), "cursor")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		cursor, err := readCursor(path)
		require.NoError(t, err)
		require.Equal(t, want, cursor)
	}
}
