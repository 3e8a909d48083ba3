package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A store that is open compacts while its files are read.
func TestEachFilePassesOverWhatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	read := ""
	require.NoError(t, eachFile(dir, func(f *os.File) error {
		text, err := io.ReadAll(f)
		read += string(text)
		_ = os.Remove(filepath.Join(dir, "b"))
		return err
	}))
	require.Equal(t, "ac", read)
}
