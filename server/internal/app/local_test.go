package app

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a page can have a browser send to a plaintext port is HTTP/1.1, leave or not:
// gRPC answers none of it.
func TestGRPCAnswersNoHTTP1(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	for _, head := range []string{
		"POST /wabastream.v1.EventService/Subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n" +
			"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00",
		"OPTIONS /wabastream.v1.EventService/Subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n" +
			"Access-Control-Request-Method: POST\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", a.Addrs().GRPC)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = conn.Write([]byte(head))
		require.NoError(t, err)
		all, _ := io.ReadAll(conn) // until the server closes it
		require.NotContains(t, string(all), "HTTP/")
		require.NoError(t, conn.Close())
	}
}

// A page of another origin reaches nothing, also not with what browsers send without
// asking the server for leave; pages of the server's own origin, the person at the
// browser and other clients do.
func TestForeignPagesReachNothing(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	webhook, api := "http://"+a.Addrs().HTTP+"/webhooks/nxcloud", "http://"+a.Addrs().API
	for _, c := range []struct{ method, url, contentType string }{
		{http.MethodPost, webhook, "text/plain"},
		{http.MethodPost, webhook, "application/x-www-form-urlencoded"},
		{http.MethodPost, webhook, ""},
		{http.MethodOptions, webhook, ""},
		{http.MethodPost, api + "/v1/backups", "text/plain"},
		{http.MethodPost, api + "/v1/events:list", "text/plain"},
		{http.MethodGet, api + "/v1/log", ""},
		{http.MethodGet, api + "/metrics", ""},
		{http.MethodOptions, api + "/v1/events:list", ""},
	} {
		for header, values := range map[string][]string{
			"Origin":         {"https://evil.example", "null", "http://localhost:1", "%", "http://" + a.Addrs().GRPC},
			"Sec-Fetch-Site": {"cross-site", "same-site", "of the future"},
		} {
			for _, value := range values {
				require.Equal(t, http.StatusForbidden, a.ask(t, c.method, c.url, "Content-Type", c.contentType, header, value), "%v %s", c, value)
			}
		}
	}
	_, log := get(t, api+"/v1/log")
	require.NotContains(t, log, "eventCount")

	require.Equal(t, http.StatusOK, a.ask(t, http.MethodPost, api+"/v1/events:list", "Origin", api))
	require.Equal(t, http.StatusOK, a.ask(t, http.MethodPost, api+"/v1/events:list", "Origin", api, "Sec-Fetch-Site", "same-origin"))
	require.Equal(t, http.StatusOK, a.ask(t, http.MethodGet, api+"/metrics", "Sec-Fetch-Site", "none"))
}

// Where a browser has a client certificate it shows that for any page.
func TestForeignPagesReachNothingWithCertificates(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	config := testConfig(t)
	config.TLSCertFile, config.TLSKeyFile = authority.pair("server")
	config.TLSClientCAFile = filepath.Join(authority.dir, "ca.pem")
	a := startApp(t, config)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: authority.client(true), DisableKeepAlives: true}}
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, "": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+a.Addrs().API+"/v1/events:list", strings.NewReader("{}"))
		require.NoError(t, err)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, origin)
	}
}

// ask sends an empty JSON object, with those headers that are not empty. No page may
// read the answer.
func (r *running) ask(t *testing.T, method, url string, headers ...string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	return resp.StatusCode
}
