package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithPort(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"localhost":                   "localhost:9090",
		"localhost:":                  "localhost:9090",
		"localhost:1234":              "localhost:1234",
		"events.example.com":          "events.example.com:9090",
		"127.0.0.1":                   "127.0.0.1:9090",
		"::1":                         "[::1]:9090",
		"[::1]":                       "[::1]:9090",
		"[::1]:1234":                  "[::1]:1234",
		":1234":                       ":1234",
		"unix:run/wabastream.sock":    "unix:run/wabastream.sock",
		"unix:///run/wabastream.sock": "unix:///run/wabastream.sock",
		"unix-abstract:wabastream":    "unix-abstract:wabastream",
		"dns:///events.example.com":   "dns:///events.example.com",
		"https://localhost":           "https://localhost",
	} {
		require.Equal(t, want, withPort(addr), addr)
	}
}

func TestNoTLSHintNamesTheFlagThatAskedForTLS(t *testing.T) {
	t.Parallel()
	const end = " if the network is safe"
	require.Equal(t, "the server there speaks no TLS: give --insecure"+end, (&connection{}).noTLSHint())
	require.Contains(t, (&connection{tls: true}).noTLSHint(), "--insecure instead of --tls"+end)
	require.Contains(t, (&connection{tls: true, caFile: "ca.pem"}).noTLSHint(), "--insecure instead of --ca-file"+end)
}
