package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "wabastream.yaml")
	data := filepath.Join(dir, "data")
	require.NoError(t, os.WriteFile(path, []byte("data_dir: "+data+"\n"), 0o600))
	code, stdout, stderr := ran(t, []string{"WABASTREAM_GRPC_ADR=127.0.0.1:1"}, "config", "check", "--config", path)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	require.Contains(t, stdout, `risk   sources: "nxcloud" accepts unsigned callbacks`)
	require.Contains(t, stdout, "risk   WABASTREAM_GRPC_ADR: an environment variable")
	require.Contains(t, stdout, "0 errors, 3 risks\n")
	require.NoDirExists(t, data, "it only looks")

	code, stdout, stderr = ran(t, nil, "config", "check", "--config", path, "--grpc-addr", "0.0.0.0:9090", "--log-level", "loud")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "error  grpc_addr: ")
	require.Contains(t, stdout, "error  log_level: ")
	require.Contains(t, stdout, "2 errors, 2 risks\n")
	require.Contains(t, stderr, "would not start")

	require.NoError(t, os.WriteFile(path, []byte("dat_dir: x\n"), 0o600))
	code, _, stderr = ran(t, nil, "config", "check", "--config", path)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "dat_dir")
	require.Contains(t, mustRun(t, "config"), "config check --config wabastream.yaml")
}
