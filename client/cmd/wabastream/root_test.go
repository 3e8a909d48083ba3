package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuildVersion(t *testing.T) {
	t.Parallel()
	commit := func(hash string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: hash}}
	}
	for want, info := range map[string]debug.BuildInfo{
		"devel":              {},
		"devel-0123456789ab": {Settings: commit("0123456789abcdef"), Main: debug.Module{Version: "v0.0.0-1"}},
		"devel-0123":         {Settings: commit("0123")},
		"v1.2.3":             {Main: debug.Module{Version: "v1.2.3"}},
	} {
		require.Equal(t, want, buildVersion(&info))
	}
	require.Equal(t, "devel", buildVersion(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}))
}
