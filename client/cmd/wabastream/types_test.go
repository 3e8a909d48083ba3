package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/servertest"
)

// What a server makes of the provider's examples is known to the completion,
// with every path above it.
func TestKnownTypesAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	examples := callbacks.NXCloud()
	for _, example := range examples {
		s.Post(example.Body)
	}
	got := execute(t.Context(), nil, "tail", "--addr", s.GRPCAddr(), "--no-follow")
	require.NoError(t, got.failure)
	known := knownTypes()
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, len(examples))
	for _, line := range lines {
		var event struct{ Type string }
		require.NoError(t, json.Unmarshal([]byte(line), &event))
		require.Contains(t, known, event.Type)
	}
	require.NoError(t, checkTypes(known))
	for _, path := range []string{
		"account_update", "account_update.disabled_update", "account_review_update.deferred",
		"phone_number_quality_update.unflagged", "user_preferences", "user_preferences.marketing_messages",
	} {
		require.Contains(t, known, path)
	}
}
