package accounts

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

// step is something that happens, and what is the case after it: what is not named is
// as it was.
type step struct {
	name, body string
	want       map[string]string
}

func restriction(waba string, at, until int64) string {
	return accountUpdate(waba, "", at, "ACCOUNT_RESTRICTION", fmt.Sprintf(`,"restriction_info":[{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":%d}]`, until))
}

func review(waba string, at int64, decision string) string {
	return fmt.Sprintf(`{"field":"account_review_update","value":{"decision":%q,"wabaId":%q,"time":%d}}`, decision, waba, at)
}

// life is what happens to three accounts and six numbers.
func life() []step {
	const a, b, c, d, e, f = "15550001", "15550002", "15550003", "15550004", "15550005", "15550006"
	future := time.Now().Add(24 * time.Hour).Unix()
	return []step{
		{"a number is added", accountUpdate("1", a, testTime, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0001"`), map[string]string{"1": "seen", "1/" + a: "added"}},
		{"another is named", messages("1", b, 1), map[string]string{"1/" + b: "seen"}},
		{"and two of a second account", messages("2", c, 1), map[string]string{"2": "seen", "2/" + c: "seen"}},
		{"", messages("2", d, 1), map[string]string{"2/" + d: "seen"}},
		{"and of a third", messages("3", e, 1), map[string]string{"3": "seen", "3/" + e: "seen"}},
		{"", accountUpdate("3", f, testTime, "MM_LITE_TERMS_SIGNED", `,"waba_info":{"waba_id":"3","owner_business_id":"9"}`), map[string]string{"3": "seen, terms signed", "3/" + f: "seen"}},
		{"the first is banned", ban("1", testTime+100, "DISABLE"), map[string]string{
			"1": "seen, ban disable, BLOCKED account_banned", "1/" + a: "added, BLOCKED account_banned", "1/" + b: "seen, BLOCKED account_banned",
		}},
		{"delivered again", ban("1", testTime+100, "DISABLE"), nil},
		{"an older reinstatement comes late", ban("1", testTime+50, "REINSTATE"), map[string]string{"1": "seen, ban disable (1 late), BLOCKED account_banned"}},
		{"reinstated", ban("1", testTime+200, "REINSTATE"), map[string]string{"1": "seen, ban reinstate (1 late)", "1/" + a: "added", "1/" + b: "seen"}},
		{"a tier up", quality("2", c, testTime+10, "UPGRADE", "TIER_10K"), map[string]string{"2/" + c: "seen, TIER_10K"}},
		{"and down", quality("2", c, testTime+20, "DOWNGRADE", "TIER_1K"), map[string]string{"2/" + c: "seen, TIER_1K"}},
		{"one from between comes late", quality("2", c, testTime+15, "UPGRADE", "TIER_UNLIMITED"), map[string]string{"2/" + c: "seen, TIER_1K (1 late)"}},
		{"flagged", quality("2", c, testTime+30, "FLAGGED", "TIER_1K"), map[string]string{"2/" + c: "seen, flagged true, TIER_1K (1 late)"}},
		{"a name is rejected", name("2", d, testTime+10, "REJECTED", "Shop"), map[string]string{"2/" + d: "seen, review rejected"}},
		{"then approved", name("2", d, testTime+20, "APPROVED", "Shop 2"), map[string]string{"2/" + d: "seen, name Shop 2, review approved"}},
		{"a number moves", quality("2", b, testTime+300, "UPGRADE", "TIER_1K"), map[string]string{"2/" + b: "seen, TIER_1K", "1/" + b: "moved, BLOCKED number_moved"}},
		{"and is removed", accountUpdate("2", c, testTime+400, "PHONE_NUMBER_REMOVED", `,"phone_number":"`+b+`"`), map[string]string{"2/" + b: "removed, TIER_1K, BLOCKED number_removed"}},
		{"a review fails", review("2", testTime+10, "REJECTED"), map[string]string{
			"2": "seen, review rejected, BLOCKED review_rejected", "2/" + b: "removed, TIER_1K, BLOCKED number_removed, BLOCKED review_rejected",
			"2/" + c: "seen, flagged true, TIER_1K (1 late), BLOCKED review_rejected", "2/" + d: "seen, name Shop 2, review approved, BLOCKED review_rejected",
		}},
		{"and succeeds", review("2", testTime+20, "APPROVED"), map[string]string{
			"2": "seen, review approved", "2/" + b: "removed, TIER_1K, BLOCKED number_removed",
			"2/" + c: "seen, flagged true, TIER_1K (1 late)", "2/" + d: "seen, name Shop 2, review approved",
		}},
		{"a restriction that is over", restriction("2", testTime+20, testTime+30), map[string]string{"2": "seen, restriction biz_initiated_messaging active false, review approved"}},
		{"and one that is not", restriction("1", testTime+20, future), map[string]string{
			"1": "seen, ban reinstate (1 late), restriction biz_initiated_messaging active true, BLOCKED biz_initiated_messaging", "1/" + a: "added, BLOCKED biz_initiated_messaging",
			"1/" + b: "moved, BLOCKED number_moved, BLOCKED biz_initiated_messaging",
		}},
		{"a violation", accountUpdate("2", c, testTime+50, "ACCOUNT_VIOLATION", ""), map[string]string{"2": "seen, violation, restriction biz_initiated_messaging active false, review approved"}},
		{"the partner goes", accountUpdate("2", c, testTime+500, "PARTNER_REMOVED", `,"waba_info":{"waba_id":"2","owner_business_id":"9"}`), map[string]string{
			"2":      "seen, violation, restriction biz_initiated_messaging active false, review approved, partner removed, BLOCKED partner_removed",
			"2/" + b: "removed, TIER_1K, BLOCKED number_removed, BLOCKED partner_removed", "2/" + c: "seen, flagged true, TIER_1K (1 late), BLOCKED partner_removed",
			"2/" + d: "seen, name Shop 2, review approved, BLOCKED partner_removed",
		}},
		{"a person opts out", preference(e, "x", testTime, "stop"), map[string]string{"opted out of " + e: "x"}},
		{"another too", preference(e, "y", testTime+10, "stop"), map[string]string{"opted out of " + e: "x y"}},
		{"the first comes back", preference(e, "x", testTime+20, "resume"), map[string]string{"opted out of " + e: "y"}},
		{"and an old choice comes late", preference(e, "x", testTime+5, "stop"), nil},
		{"the third is deleted", accountUpdate("3", "", testTime+600, "ACCOUNT_DELETED", ""), map[string]string{
			"3": "deleted, terms signed, BLOCKED account_deleted", "3/" + e: "seen, BLOCKED account_deleted", "3/" + f: "seen, BLOCKED account_deleted",
		}},
	}
}

// TestLife: the state after everything that happens is as expected, whenever and however
// often it is made again, also from what a trim has left.
func TestLife(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := make(map[string]string)
	check := func(name string) {
		t.Helper()
		got := s.stateText(access.Everything())
		for _, p := range s.optOuts("15550005") {
			got["opted out of 15550005"] += " " + p
		}
		for key, text := range want {
			if key == "opted out of 15550005" {
				text = " " + text
			}
			require.Equal(t, text, got[key], "%s: %s", name, key)
		}
		require.Len(t, got, len(want), name)
	}
	for i, step := range life() {
		s.post(step.body)
		maps.Copy(want, step.want)
		check(step.name)
		if i%5 == 0 {
			before := s.dump()
			s.rebuild()
			require.Equal(t, before, s.dump(), step.name)
		}
	}
	before := s.dump()
	s.rebuild()
	require.Equal(t, before, s.dump())

	require.NoError(t, s.log.Trim(t.Context(), s.settle().Sequence/2))
	before = s.dump()
	check("half of the log is trimmed")
	s.rebuild()
	require.Equal(t, before, s.dump(), "after a trim")
	check("made again of what is left")
	s.post(ban("1", testTime+1000, "DISABLE"))
	s.rebuild()
}

// TestWhereValuesComeFrom: a value names the event that it came from, as EventService
// has it.
func TestWhereValuesComeFrom(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.post(messages("1", "15550001", 1))
	s.post(ban("1", testTime, "DISABLE"))
	head := s.settle()
	got, err := s.service.GetAccount(s.everyone(), &wabastreamv1.GetAccountRequest{WabaId: "1"})
	require.NoError(t, err)
	origin := got.GetAccount().GetBan().GetOrigin()
	require.Equal(t, uint64(head.Sequence), origin.GetSequence())
	require.Equal(t, got.GetCursor(), origin.GetCursor(), "it was the newest event")
	require.Equal(t, "account_update.disabled_update.disable", origin.GetEventType())
	require.Equal(t, time.Unix(testTime, 0).UTC(), origin.GetOccurTime().AsTime())
	position, err := s.service.config.Cursors.Parse(origin.GetCursor())
	require.NoError(t, err)
	require.NoError(t, s.log.Check(t.Context(), position))
	require.Equal(t, head, position)
	require.Equal(t, origin.GetEventId(), got.GetAccount().GetLastChange().GetEventId())
	require.Equal(t, origin.GetEventId(), got.GetAccount().GetSendingBlocks()[0].GetOrigin().GetEventId())
}
