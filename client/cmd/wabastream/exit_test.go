package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's table is what scripts are written by.
func TestREADMEHasEveryExitCode(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	for i, e := range exitCodes() {
		require.Equal(t, i, e.code)
		require.Contains(t, string(readme), fmt.Sprintf("| %d | %s |\n", e.code, e.meaning))
	}
}
