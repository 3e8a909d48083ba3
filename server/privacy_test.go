package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

// confidant is a server that is told secrets, and what it told of them.
type confidant struct {
	*process
	t       *testing.T
	log     bytes.Buffer // complete once the process has ended
	told    bytes.Buffer // answers that are errors, and metrics
	secret  string       // of the access key
	full    string       // token of a consumer that sees people
	none    string       // of one that does not, and operates
	expired string
	secrets []string // all that must not be told
}

const (
	privatePerson = "8613912345678"
	privateName   = "Ermintrude Quux"
	privateText   = "zanzibar-marmalade"
)

func newConfidant(t *testing.T, format string) *confidant {
	t.Helper()
	c := &confidant{t: t, secret: "sEcr3t-0f-the-application"}
	pseudonymKey := strings.Repeat("pseudonym-key-", 3)
	full, fullHash := access.NewToken()
	none, noneHash := access.NewToken()
	expired, expiredHash := access.NewToken()
	c.full, c.none, c.expired = full, none, expired
	c.secrets = []string{c.secret, pseudonymKey, full, none, expired, privatePerson, privateName, privateText}
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	accessFile := file("access.yaml", fmt.Sprintf(`
personal_data_key_file: %q
consumers:
  - {name: full, tokens: [%q], waba_ids: ["*"], types: ["*"], unattributed: true, personal_data: full, raw_json: true}
  - {name: none, tokens: [%q], waba_ids: ["*"], types: ["*"], unattributed: true, operate: true, metrics: true}
  - {name: gone, tokens: [{hash: %q, expire_time: 2020-01-01T00:00:00Z}], waba_ids: ["*"], types: ["*"]}
`, file("key", pseudonymKey), fullHash, noneHash, expiredHash))
	config := file("wabastream.yaml", fmt.Sprintf(`
access_file: %q
log_level: debug
log_format: %s
sources:
  - name: nxcloud
    access_keys: [{key: %q, secret_file: %q, algorithms: [sha256, md5]}]
`, accessFile, format, besiegedKey, file("secret", c.secret)))
	c.process = startProcessLogging(t, &c.log, filepath.Join(folder, "data"), "--config", config)
	return c
}

// post posts a callback whose signature is that of another body, if that is not empty.
func (c *confidant) post(want int, body, signedBody string, edit func(http.Header)) {
	c.t.Helper()
	if signedBody == "" {
		signedBody = body
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.webhook, strings.NewReader(body))
	require.NoError(c.t, err)
	req.Header = signed([]byte(signedBody), c.secret)
	c.secrets = append(c.secrets, req.Header["Sign"]...)
	if edit != nil {
		edit(req.Header)
	}
	status, _ := c.do(req)
	require.Equal(c.t, want, status)
}

// call asks the API; what is an error, or metrics, is kept.
func (c *confidant) call(method, path, token, body string) (status int, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.api+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return c.do(req)
}

func (c *confidant) do(req *http.Request) (status int, answer string) {
	c.t.Helper()
	resp, err := c.client.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	if resp.StatusCode >= 400 || req.URL.Path == "/metrics" {
		fmt.Fprintln(&c.told, req.Method, resp.Status, resp.Header, string(text))
	}
	return resp.StatusCode, string(text)
}

// TestSecretsAndPeopleAreNotTold: with everything logged that can be, neither logs nor
// errors nor metrics show a secret, a token, a signature, a person or a callback's text.
func TestSecretsAndPeopleAreNotTold(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			c := newConfidant(t, format)
			c.postAll()
			c.readAll()
			c.tryTokens()
			c.tryGRPC()
			status, metrics := c.call(http.MethodGet, "/metrics", c.none, "")
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, metrics, "wabastream_callbacks_total")
			c.kill()

			log := c.log.String()
			for _, told := range []string{"WARN", "DEBUG", "SIGNATURE", "a caller was not let in"} {
				require.Contains(t, log, told, "not all was logged that could tell a secret")
			}
			require.Greater(t, strings.Count(c.told.String(), "\n"), 20)
			for _, secret := range c.secrets {
				require.NotEmpty(t, secret)
				require.NotContains(t, log, secret)
				require.NotContains(t, c.told.String(), secret)
			}
		})
	}
}

func (c *confidant) postAll() {
	c.t.Helper()
	preference := fmt.Sprintf(`{"field":"user_preferences","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550100"},`+
		`"contacts":[{"wa_id":%[1]q,"profile":{"name":%[2]q}}],"user_preferences":[{"wa_id":%[1]q,"detail":%[3]q,"category":"marketing_messages","value":"stop","timestamp":1753407219}]}}`,
		privatePerson, privateName, privateText)
	c.post(200, preference, "", nil)
	c.post(200, preference, "", nil) // again
	c.post(200, fmt.Sprintf(`{"messages":[{"from":%q,"text":%q}]}`, privatePerson, privateText), "", nil)
	c.post(400, `{"wa_id":"`+privatePerson+`","text":"`+privateText, "", nil) // not JSON: to the quarantine
	c.post(401, preference, "another", nil)
	c.post(401, preference, "", func(h http.Header) { h.Del("Ts") })
	c.post(401, preference, "", func(h http.Header) { h.Set("Accesskey", c.secret) })
	c.post(401, preference, "", func(h http.Header) { h.Set("Action", privateText+"&body=") })
	c.post(401, preference, "", func(h http.Header) { h.Set("Ts", privatePerson) })
	c.post(401, preference, "", func(h http.Header) { h.Add("Sign", h.Get("Sign")) })
	c.post(401, preference, "", func(h http.Header) { clear(h) })
	c.post(415, preference, "", func(h http.Header) { h.Set("Content-Type", "multipart/form-data; boundary="+privateText) })
	c.post(413, strings.Repeat(privateText, 100_000), "", nil)
}

func (c *confidant) readAll() {
	c.t.Helper()
	const everything = `{"position":"START_POSITION_EARLIEST","stopAtHead":true,"includeRawJson":true}`
	status, events := c.call(http.MethodPost, "/v1/events:subscribe", c.full, everything)
	require.Equal(c.t, http.StatusOK, status)
	require.Contains(c.t, events, privatePerson, "the test has nothing to hide")
	require.Contains(c.t, events, privateText)
	status, events = c.call(http.MethodPost, "/v1/events:subscribe", c.none, everything)
	require.Equal(c.t, http.StatusOK, status)
	require.Contains(c.t, events, "user_preferences")
	fmt.Fprintln(&c.told, events) // nothing personal is shown to this one
	_, events = c.call(http.MethodPost, "/v1/events:list", c.none, `{"includeRawJson":true}`)
	fmt.Fprintln(&c.told, events)

	var kept struct {
		Callbacks []struct{ QuarantineID string }
	}
	status, answer := c.call(http.MethodPost, "/v1/quarantine:list", c.none, `{}`)
	require.Equal(c.t, http.StatusOK, status)
	fmt.Fprintln(&c.told, answer) // bodies were not asked for
	require.NoError(c.t, json.Unmarshal([]byte(answer), &kept))
	require.Len(c.t, kept.Callbacks, 1, answer)
	status, _ = c.call(http.MethodPost, "/v1/quarantine:reinject", c.none, `{"quarantineId":"`+kept.Callbacks[0].QuarantineID+`"}`)
	require.GreaterOrEqual(c.t, status, 400)
	for _, body := range []string{`{"afterCursor":"x"}`, `{"filters":[{}]}`, `{"x":`, `{"startTime":"x"}`} {
		status, _ = c.call(http.MethodPost, "/v1/events:subscribe", c.full, body)
		require.Equal(c.t, http.StatusBadRequest, status)
	}
}

func (c *confidant) tryTokens() {
	c.t.Helper()
	unknown, _ := access.NewToken()
	const jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtb25rZXktd3JlbmNoIn0.c2lnbmF0dXJlLW9mLWp3dA"
	cut := c.full[:len(c.full)-1]
	c.secrets = append(c.secrets, unknown, jwt, cut)
	for _, token := range []string{"", unknown, jwt, cut, c.expired, c.secret} {
		for _, path := range []string{"/v1/log", "/metrics", "/v1/events:sse"} {
			status, _ := c.call(http.MethodGet, path, token, "")
			require.Equal(c.t, http.StatusUnauthorized, status, path)
		}
	}
	for _, header := range []string{"Basic " + c.full, c.full, "Bearer " + c.full + " x"} {
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.api+"/v1/log", nil)
		require.NoError(c.t, err)
		req.Header.Set("Authorization", header)
		status, _ := c.do(req)
		require.Equal(c.t, http.StatusUnauthorized, status, header)
	}
	// Where no token belongs.
	for _, path := range []string{"/v1/log?access_token=", "/v1/events:sse?token=", "/v1/events/", "/"} {
		status, _ := c.call(http.MethodGet, path+unknown, "", "")
		require.GreaterOrEqual(c.t, status, 400)
	}
}

func (c *confidant) tryGRPC() {
	c.t.Helper()
	conn, err := grpc.NewClient(c.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(c.t, err)
	defer conn.Close()
	for _, value := range []string{"Bearer " + c.expired, "Basic " + c.full, c.full + ".x"} {
		ctx := metadata.AppendToOutgoingContext(c.t.Context(), "authorization", value)
		_, err := wabastreamv1.NewEventServiceClient(conn).GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{})
		require.Error(c.t, err)
		fmt.Fprintln(&c.told, err)
	}
	// A client that speaks something else to the port.
	raw, err := new(net.Dialer).DialContext(c.t.Context(), "tcp", c.grpc)
	require.NoError(c.t, err)
	defer raw.Close()
	require.NoError(c.t, raw.SetDeadline(time.Now().Add(30*time.Second)))
	fmt.Fprintf(raw, "GET /%s HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n", c.full, c.full)
	answer, _ := io.ReadAll(raw) // it is cut off
	c.told.Write(answer)
}

// TestStrangersMakeNoMetrics: whatever is thrown at a server, in whatever variety, it
// has no more time series than after the first of it.
func TestStrangersMakeNoMetrics(t *testing.T) {
	t.Parallel()
	c := newConfidant(t, "text")
	throw := func(round string) int {
		for i := range 50 {
			word := fmt.Sprintf("%s%d", round, i)
			c.post(200, `{"field":"`+word+`","value":{"event":"`+word+`","wabaId":"`+word+`","business_phone":"`+word+`"}}`, "", nil)
			c.post(401, word, "", func(h http.Header) { h.Set("Accesskey", word) })
			c.post(400, "{"+word, "", nil)
			c.strange(word)
		}
		status, metrics := c.call(http.MethodGet, "/metrics", c.none, "")
		require.Equal(t, http.StatusOK, status)
		series := 0
		for line := range strings.Lines(metrics) {
			if !strings.HasPrefix(line, "#") {
				series++
			}
		}
		require.NotContains(t, metrics, round)
		return series
	}
	first := throw("aardvark")
	require.Equal(t, first, throw("buffalo"))
}

func (c *confidant) strange(word string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.webhook+word, strings.NewReader("{}"))
	require.NoError(c.t, err)
	status, _ := c.do(req)
	require.Equal(c.t, http.StatusNotFound, status)
	_, _ = c.call("X"+strings.ToUpper(word), "/v1/"+word, word, "")
	status, _ = c.call(http.MethodPost, "/v1/events:list", c.full, `{"filters":[{"types":["`+word+`"],"wabaIds":["`+word+`"]}],"pageToken":"`+word+`"}`)
	require.Equal(c.t, http.StatusBadRequest, status)
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	conn, err := grpc.NewClient(c.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(word))
	require.NoError(c.t, err)
	defer conn.Close()
	require.Error(c.t, conn.Invoke(ctx, "/"+word+"/"+word, &wabastreamv1.GetLogInfoRequest{}, &wabastreamv1.GetLogInfoResponse{}))
}
