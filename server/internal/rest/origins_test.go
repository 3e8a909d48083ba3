package rest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const console = "https://console.example.com"

// Without cors_origins a page of another origin gets nothing, not even by asking first.
func TestOtherOriginsGetNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{})
	for _, header := range [][]string{
		{"Origin", console},
		{"Origin", console, "Sec-Fetch-Site", "cross-site"},
		{"Origin", "http://127.0.0.1:3000", "Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site"}, // an image or a script
		{"Origin", "null"},
		{"Origin", console, "Access-Control-Request-Method", "POST"},
	} {
		for _, route := range Routes() {
			for _, method := range []string{route.Method, http.MethodOptions} {
				got := r.do(t, method, route.Path, "{}", header...)
				got.requireStatus(t, http.StatusForbidden, "ORIGIN_NOT_ALLOWED")
				require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
			}
		}
	}
	require.Equal(t, http.StatusOK, r.do(t, http.MethodGet, "/v1/log", "", "Origin", r.url, "Sec-Fetch-Site", "same-origin").status, "its own page")
	require.Equal(t, http.StatusOK, r.do(t, http.MethodGet, "/v1/log", "", "Sec-Fetch-Site", "none").status, "typed by the user")
	require.Equal(t, http.StatusOK, r.do(t, http.MethodGet, "/healthz", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").status, "a link")
	require.Equal(t, http.StatusForbidden, r.do(t, http.MethodGet, "/v1/log", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").status)
}

func TestNamedOriginsGetIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{}, console, "http://localhost:3000")
	got := r.do(t, http.MethodOptions, "/v1/events:subscribe", "", "Origin", console, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, console, got.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, got.header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Contains(t, got.header.Get("Access-Control-Allow-Methods"), "POST")
	require.Equal(t, "Origin", got.header.Get("Vary"))
	require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"))

	got = r.do(t, http.MethodGet, "/v1/log", "", "Origin", console, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, console, got.header.Get("Access-Control-Allow-Origin"))
	for _, other := range []string{"https://evil.example", "https://console.example.com.evil.example", "http://console.example.com", "null"} {
		got = r.do(t, http.MethodGet, "/v1/log", "", "Origin", other, "Sec-Fetch-Site", "cross-site")
		got.requireStatus(t, http.StatusForbidden, "ORIGIN_NOT_ALLOWED")
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", got.header.Get("Vary"))
	}
}
