package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadGreeting(t *testing.T) {
	t.Parallel()
	const greeting = `wabastreamd devel

  callbacks  http://127.0.0.1:41001/webhooks/{source}
  REST       http://127.0.0.1:41002/v1/log  (/docs, /readyz, /metrics)
  gRPC       127.0.0.1:41003
  data       /tmp/data
`
	a, err := readGreeting(strings.NewReader(greeting))
	require.NoError(t, err)
	require.Equal(t, addresses{http: "127.0.0.1:41001", api: "127.0.0.1:41002", grpc: "127.0.0.1:41003"}, a)
	before, _, _ := strings.Cut(greeting, "  gRPC")
	_, err = readGreeting(strings.NewReader(before))
	require.Error(t, err)
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	m, err := parseMetrics([]byte(`# HELP wabastream_events_trimmed_total Events removed.
# TYPE wabastream_events_trimmed_total counter
wabastream_events_trimmed_total{reason="age"} 3
wabastream_events_trimmed_total{reason="size"} 4
# HELP go_goroutines Number of goroutines.
# TYPE go_goroutines gauge
go_goroutines 17
plain 1.5e+09
`))
	require.NoError(t, err)
	require.Equal(t, map[string]float64{metricTrimmed: 7, metricGoroutines: 17, "plain": 1.5e9}, m)
	_, err = parseMetrics([]byte("<html>"))
	require.Error(t, err)
}
