package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMemory(t *testing.T) {
	t.Parallel()
	m, err := parseMemory([]byte("Name:\tVmRSS: 1 kB\nVmPeak:\t  900 kB\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\n"))
	require.NoError(t, err)
	require.Equal(t, memory{resident: 200 << 10, peak: 300 << 10}, m)
	_, err = parseMemory([]byte("Name:\tbench\nState:\tZ (zombie)\n"))
	require.ErrorContains(t, err, "VmRSS")
}

func TestMemoryOfThisProcess(t *testing.T) {
	t.Parallel()
	m, err := memoryOf(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, m.resident, uint64(1<<20))
	require.GreaterOrEqual(t, m.peak, m.resident)
}
