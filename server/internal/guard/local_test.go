package guard

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "localhost": true, "LOCALHOST": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "example.com": false, "localhost.example.com": false,
	} {
		require.Equal(t, want, IsLoopback(host), host)
	}
}

func TestOwnMachine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host, header string
		want         bool
	}{
		"loopback":        {"127.0.0.1:8081", "", true},
		"name":            {"localhost", "", true},
		"IPv6":            {"[::1]:8081", "", true},
		"IPv6, no port":   {"[::1]", "", true},
		"none":            {"", "", false},
		"two":             {"localhost,localhost", "", false},
		"another":         {"evil.example:8081", "", false},
		"forwarded":       {"localhost", "Forwarded", false},
		"forwarded, gRPC": {"localhost", "x-forwarded-for", false},
		"via":             {"localhost", "Via", false},
		"something else":  {"localhost", "X-Forward", true},
	} {
		header := http.Header{}
		if c.header != "" {
			header[c.header] = []string{"x"}
		}
		err := OwnMachine(c.host, header, "do that")
		require.Equal(t, c.want, err == nil, name)
		if err != nil {
			require.ErrorContains(t, err, "do that", name)
		}
	}
}

func TestOtherOrigin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		origin, site, want string
	}{
		"no browser":           {"", "", ""},
		"own page":             {"http://localhost:8081", "same-origin", ""},
		"own page, old":        {"http://localhost:8081", "", ""},
		"user":                 {"", "none", ""},
		"another port":         {"http://localhost:3000", "same-site", "http://localhost:3000"},
		"another port, old":    {"http://localhost:3000", "", "http://localhost:3000"},
		"another site":         {"https://evil.example", "cross-site", "https://evil.example"},
		"its image":            {"", "cross-site", "null"},
		"sandboxed":            {"null", "cross-site", "null"},
		"sandboxed, old":       {"null", "", "null"},
		"claims to be the own": {"http://localhost:8081", "cross-site", "http://localhost:8081"},
	} {
		r := &http.Request{Host: "localhost:8081", Header: http.Header{}}
		for key, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
			if value != "" {
				r.Header.Set(key, value)
			}
		}
		require.Equal(t, c.want, OtherOrigin(r), name)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		values []string
	}{
		{"", nil},
		{"", []string{""}},
		{"token", []string{"Bearer token"}},
		{"t", []string{"bearer   t"}},
		{notBearer, []string{"Bearer"}},
		{notBearer, []string{"Bearer "}},
		{notBearer, []string{"Bearer  "}},
		{notBearer, []string{"Basic x"}},
		{notBearer, []string{"token"}},
		{notBearer, []string{"Bearer a", "Bearer b"}},
		{notBearer, []string{"", "Bearer b"}},
	} {
		require.Equal(t, c.want, bearer(c.values), "%q", c.values)
	}
}
