package client

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIsLocal(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"127.0.0.1:9090":                     true,
		"127.8.8.8:9090":                     true,
		"[::1]:9090":                         true,
		"::1":                                true,
		"localhost:9090":                     true,
		"localhost":                          true,
		"dns:///localhost:9090":              true,
		"dns://1.1.1.1/127.0.0.1:9090":       true,
		"passthrough:///[::1]:9090":          true,
		"unix:run/wabastream.sock":           true,
		"unix:///run/wabastream.sock":        true,
		"unix-abstract:wabastream":           true,
		"":                                   false,
		":9090":                              false,
		"0.0.0.0:9090":                       false,
		"10.0.0.1:9090":                      false,
		"localhost.example.com:9090":         false,
		"127.0.0.1.example.com:9090":         false,
		"dns://127.0.0.1/example.com:443":    false,
		"dns:///events.example.com:443":      false,
		"xds:///localhost:9090":              false,
		"passthrough:///fake":                false,
		"http://localhost:9090":              false,
		"events.example.com:443/unix:socket": false,
	} {
		require.Equal(t, want, isLocal(target), target)
	}
}

func TestBackoffCeiling(t *testing.T) {
	t.Parallel()
	b := newBackoff(backoffLimits{min: time.Second, max: 5 * time.Second})
	var ceilings []time.Duration
	for range 5 {
		ceilings = append(ceilings, b.ceiling)
		require.Less(t, b.next(), ceilings[len(ceilings)-1])
	}
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}, ceilings)
	b.reset()
	require.Equal(t, time.Second, b.ceiling)

	b = newBackoff(backoffLimits{min: math.MaxInt64 / 2, max: math.MaxInt64})
	b.next()
	b.next()
	require.Equal(t, time.Duration(math.MaxInt64), b.ceiling, "no overflow")
}
