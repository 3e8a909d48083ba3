package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/quarantine"
)

const testSecret = "of the application"

// signedConfig has one source, whose callbacks must be signed.
func signedConfig(t *testing.T) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(testSecret), 0o600))
	config := testConfig(t)
	config.Sources = []SourceConfig{{Name: "nxcloud", AccessKeys: []AccessKeyConfig{{Key: "k", SecretFile: file}}}}
	return config
}

// postSigned posts a callback as the application does.
func postSigned(t *testing.T, a *running, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.Addrs().HTTP+"/webhooks/nxcloud", strings.NewReader(body))
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("accessKey=k&action=a&bizType=2&ts=1&body=" + body + "&accessSecret=" + testSecret))
	for name, value := range map[string]string{
		"accesskey": "k", "action": "a", "biztype": "2", "ts": "1", "algorithm": "sha256", "sign": hex.EncodeToString(sum[:]),
		"Content-Type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// callAPI posts JSON to a path of the API and returns the answer.
func callAPI(t *testing.T, a *running, path, body string) (code int, answer map[string]any) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+a.Addrs().API+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	return resp.StatusCode, answer
}

// A signed callback that is not JSON is kept, over a restart too; an unsigned one
// never is.
func TestQuarantineOverHTTP(t *testing.T) {
	t.Parallel()
	config := signedConfig(t)
	a := startApp(t, config)
	require.Equal(t, http.StatusBadRequest, postSigned(t, a, "{broken"))
	require.Equal(t, http.StatusBadRequest, postSigned(t, a, "{broken"))
	resp, err := http.Post("http://"+a.Addrs().HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader("{unsigned"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.NoError(t, a.stop())

	a = startApp(t, config)
	code, page := callAPI(t, a, "/v1/quarantine:list", `{"includeBody":true}`)
	require.Equal(t, http.StatusOK, code)
	held := page["callbacks"].([]any)
	require.Len(t, held, 1)
	callback := held[0].(map[string]any)
	require.Equal(t, "nxcloud", callback["source"])
	require.Equal(t, "e2Jyb2tlbg==", callback["body"])
	require.Contains(t, callback["reason"], "not JSON")

	code, answer := callAPI(t, a, "/v1/quarantine:reinject", `{"quarantineId":"`+callback["quarantineId"].(string)+`"}`)
	require.Equal(t, http.StatusBadRequest, code, answer)
	require.Contains(t, answer["message"], "callback still cannot be read: body is not JSON")
	code, answer = callAPI(t, a, "/v1/quarantine:reinject", `{"id":"x"}`)
	require.Equal(t, http.StatusBadRequest, code, answer)
	code, answer = callAPI(t, a, "/v1/quarantine:reinject", `{"quarantineId":"x"}`)
	require.Equal(t, http.StatusNotFound, code, answer)
}

// What a server could not read, a later one may.
func TestReinjectedCallbackIsAnEvent(t *testing.T) {
	t.Parallel()
	config := signedConfig(t)
	store, err := quarantine.Open(quarantine.Config{Dir: filepath.Join(config.DataDir, "quarantine"), MaxEntries: 10, MaxBytes: 1 << 20})
	require.NoError(t, err)
	const body = `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","wabaId":"1001","time":1761200607}}`
	require.NoError(t, store.Put("nxcloud", time.Unix(1, 0), "of an older version", []byte(body)))
	held, _ := store.List(nil, 1)

	a := startApp(t, config)
	code, answer := callAPI(t, a, "/v1/quarantine:reinject", `{"quarantineId":"`+held[0].ID+`"}`)
	require.Equal(t, http.StatusOK, code, answer)
	require.InDelta(t, 1, answer["storedCount"], 0)
	ids := answer["eventIds"].([]any)
	require.Len(t, ids, 1)
	status, event := get(t, "http://"+a.Addrs().API+"/v1/events/"+ids[0].(string))
	require.Equal(t, http.StatusOK, status, event)
	require.Contains(t, event, "account_update.account_deleted")
	_, page := callAPI(t, a, "/v1/quarantine:list", `{}`)
	require.Empty(t, page)
	require.Equal(t, http.StatusOK, postSigned(t, a, body), "the provider may deliver it again")
	_, log := get(t, "http://"+a.Addrs().API+"/v1/log")
	require.Contains(t, log, `"eventCount":"1"`)
}

func TestAbuseOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for want, set := range map[string]func(*Config){
		"max_connections":      func(c *Config) { c.MaxConnections = 0 },
		"quarantine_callbacks": func(c *Config) { c.QuarantineCallbacks = -1 },
		"quarantine_bytes":     func(c *Config) { c.QuarantineBytes = -1 },
		"source_rate":          func(c *Config) { c.SourceRate = -1 },
		"source_burst":         func(c *Config) { c.SourceBurst = 1 },
		"backup_dir":           func(c *Config) { c.BackupDir = filepath.Join(c.DataDir, "quarantine") },
	} {
		config := testConfig(t)
		set(&config)
		_, err := New(t.Context(), config, "test", logger(t))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "configuration")
	}
}
