package callbacks_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
)

func TestNXCloudIsThePageSortedByName(t *testing.T) {
	t.Parallel()
	names := []string{}
	for _, c := range callbacks.NXCloud() {
		names = append(names, c.Name)
	}
	require.True(t, slices.IsSorted(names))
	require.Equal(t, []string{
		"account_review_update.approved",
		"account_update.account_deleted",
		"account_update.account_restriction",
		"account_update.account_violation",
		"account_update.disabled_update.disable",
		"account_update.disabled_update.reinstate",
		"account_update.mm_lite_terms_signed",
		"account_update.partner_removed",
		"account_update.phone_number_added",
		"account_update.phone_number_removed",
		"phone_number_name_update.approved",
		"phone_number_name_update.rejected",
		"phone_number_quality_update.flagged.tier_1k",
		"phone_number_quality_update.upgrade.tier_unlimited",
		"user_preferences.resume",
		"user_preferences.stop",
	}, names)
}

func TestNXCloudBodiesBelongToTheirName(t *testing.T) {
	t.Parallel()
	for _, c := range callbacks.NXCloud() {
		var body struct {
			Field string         `json:"field"`
			Value map[string]any `json:"value"`
		}
		require.NoError(t, json.Unmarshal(c.Body, &body), c.Name)
		require.True(t, strings.HasPrefix(c.Name, body.Field+"."), c.Name)
		require.NotEmpty(t, body.Value, c.Name)
	}
}

func TestNXCloudReturnsCopies(t *testing.T) {
	t.Parallel()
	first := callbacks.NXCloud()
	clear(first[0].Body)
	first[0].Name = "changed"
	second := callbacks.NXCloud()
	require.Equal(t, byte('{'), second[0].Body[0])
	require.Equal(t, "account_review_update.approved", second[0].Name)
}
