package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func postBackup(t *testing.T, a *running, body string) (code int, path string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+a.Addrs().API+"/v1/backups", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct{ Backup struct{ Path string } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer.Backup.Path
}

func TestBackupsOverHTTP(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "backups")
	for name, set := range map[string]string{"inside data_dir": "", "elsewhere": elsewhere} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := testConfig(t)
			config.BackupDir = set
			want := set
			if set == "" {
				want = filepath.Join(config.DataDir, "backups")
			}
			a := startApp(t, config)
			code, path := postBackup(t, a, `{"backupId":"one"}`)
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, filepath.Join(want, "one"), path)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "the events are nobody else's business")
			code, _ = postBackup(t, a, `{"backupId":"one"}`)
			require.Equal(t, http.StatusConflict, code)
			code, _ = postBackup(t, a, `{"backupId":"../one"}`)
			require.Equal(t, http.StatusBadRequest, code)
			code, _ = postBackup(t, a, `{"id":"two"}`)
			require.Equal(t, http.StatusBadRequest, code)

			// The log opens again, with its backups inside.
			require.NoError(t, a.stop())
			config.DataDir = path
			b := startApp(t, config)
			require.NoError(t, b.stop())
		})
	}
}

func TestBackupDirIsNotDataDir(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	for _, dir := range []string{config.DataDir, config.DataDir + "/", filepath.Join(config.DataDir, "x", "..")} {
		config.BackupDir = dir
		require.ErrorContains(t, config.validate(), "backup_dir")
	}
	config.BackupDir = filepath.Join(config.DataDir, "x")
	require.NoError(t, config.validate())
}
