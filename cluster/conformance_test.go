package cluster

import (
	"testing"

	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
)

// TestConformanceOnOneServer runs every test on a stream of its own.
func TestConformanceOnOneServer(t *testing.T) {
	t.Parallel()
	options := serverOptions(t.TempDir())
	s := startServer(t, options)
	var names streams
	eventlogtest.Run(t, func(t *testing.T) eventlogtest.Store {
		t.Helper()
		return replica{on(names.name(), 1, t.TempDir(), s.ClientURL())}
	})
}

// TestConformanceOnThreeServers runs every test on a stream that three servers keep,
// which sync before they acknowledge.
func TestConformanceOnThreeServers(t *testing.T) {
	t.Parallel()
	n := startNodes(t)
	var names streams
	eventlogtest.Run(t, func(t *testing.T) eventlogtest.Store {
		t.Helper()
		return replica{on(names.name(), 3, t.TempDir(), n.urls()...)}
	})
}
