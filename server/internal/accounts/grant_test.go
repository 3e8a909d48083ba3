package accounts

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

// newTown is a site with three accounts, and numbers of theirs and of nobody.
func newTown(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.post(messages("1", "15550001", 1))
	s.post(messages("2", "15550002", 1))
	s.post(messages("3", "15550003", 1))
	s.post(ban("1", testTime, "DISABLE"))
	s.post(review("1", testTime, "REJECTED"))
	s.post(quality("2", "15550002", testTime, "FLAGGED", "TIER_1K"))
	s.post(`{"field":"phone_number_quality_update","value":{"event":"FLAGGED","display_phone_number":"15550009","current_limit":"TIER_1K","time":1761000000}}`)
	s.post(preference("15550001", "491511", testTime, "stop"))
	s.post(preference("15550009", "491512", testTime, "stop"))
	return s
}

// TestAccountsThatAreGranted: every call shows the accounts that are granted and no
// others.
func TestAccountsThatAreGranted(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	unattributed := access.Grant{Unattributed: true, AllTypes: true}
	attributed := access.Grant{AllWABAs: true, AllTypes: true}
	for _, c := range []struct {
		grant access.Grant
		want  []string
	}{
		{access.Everything(), []string{"1", "2", "3", "1/15550001", "2/15550002", "3/15550003", "/15550009"}},
		{attributed, []string{"1", "2", "3", "1/15550001", "2/15550002", "3/15550003"}},
		{ofAccounts("2", "none"), []string{"2", "2/15550002"}},
		{unattributed, []string{"/15550009"}},
	} {
		seen := s.stateText(c.grant)
		require.Len(t, seen, len(c.want))
		watched, _ := s.watch(s.as(c.grant), &wabastreamv1.WatchAccountsRequest{}).snapshot(t)
		require.Len(t, watched, len(c.want))
		for _, key := range c.want {
			require.Contains(t, seen, key)
			require.Contains(t, watched, key)
		}
	}
	two := s.as(ofAccounts("2"))
	refused := func(err error) {
		t.Helper()
		requireReason(t, err, codes.PermissionDenied, "WABA_NOT_ALLOWED")
	}
	for _, waba := range []string{"1", "none"} {
		_, err := s.service.GetAccount(two, &wabastreamv1.GetAccountRequest{WabaId: waba})
		refused(err)
		_, err = s.service.ListAccounts(two, &wabastreamv1.ListAccountsRequest{WabaIds: []string{"2", waba}})
		refused(err)
		_, err = s.service.ListPhoneNumbers(two, &wabastreamv1.ListPhoneNumbersRequest{WabaId: waba})
		refused(err)
		refused(<-s.watch(two, &wabastreamv1.WatchAccountsRequest{WabaIds: []string{"2", waba}}).end)
	}
	got, err := s.service.ListPhoneNumbers(two, &wabastreamv1.ListPhoneNumbersRequest{BusinessPhone: "15550001"})
	require.NoError(t, err)
	require.Empty(t, got.GetPhoneNumbers())
	for _, phone := range []string{"15550001", "15550009", "15550077"} {
		_, err := s.service.GetMarketingPreference(two, &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: phone, WaId: "491511"})
		refused(err)
		_, err = s.service.ListMarketingOptOuts(two, &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: phone})
		refused(err)
	}

	w := s.watch(two, &wabastreamv1.WatchAccountsRequest{})
	w.snapshot(t)
	s.post(ban("1", testTime+5, "REINSTATE"))
	s.post(review("2", testTime+5, "REJECTED"))
	require.Equal(t, "2", w.next(t).GetChanges().GetChanges()[0].GetWabaId())
}

// TestTypesThatAreGranted: a value is shown to whoever is granted the type of the event
// that it came from.
func TestTypesThatAreGranted(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	s.post(ban("1", testTime+1, "REINSTATE"))
	s.post(ban("1", testTime+2, "DISABLE"))
	bans := access.Grant{AllWABAs: true, Unattributed: true, Types: []string{"account_update.disabled_update.disable"}}
	got, err := s.service.GetAccount(s.as(bans), &wabastreamv1.GetAccountRequest{WabaId: "1"})
	require.NoError(t, err)
	require.True(t, got.GetAccount().GetRedacted())
	require.Nil(t, got.GetAccount().GetReview())
	require.Nil(t, got.GetAccount().GetExistence(), "messages told of it")
	require.Nil(t, got.GetAccount().GetFirstEvent())
	require.Equal(t, []string{"BLOCKED account_banned"}, blocksText(got.GetAccount().GetSendingBlocks()), "and not that its review was rejected")
	require.Empty(t, got.GetPhoneNumbers(), "nothing of which came from a ban but that the account has it")
	_, err = s.service.GetAccount(s.as(bans), &wabastreamv1.GetAccountRequest{WabaId: "2"})
	requireReason(t, err, codes.NotFound, "ACCOUNT_NOT_FOUND")
	require.Equal(t, map[string]string{"1": "unspecified, ban disable, BLOCKED account_banned"}, s.stateText(bans))

	w := s.watch(s.as(bans), &wabastreamv1.WatchAccountsRequest{})
	w.snapshot(t)
	s.post(review("1", testTime+5, "APPROVED"))
	s.post(ban("1", testTime+6, "REINSTATE"))
	s.post(ban("1", testTime+7, "DISABLE"))
	change := w.next(t).GetChanges().GetChanges()[0]
	require.Equal(t, "account_update.disabled_update.disable", change.GetOrigin().GetEventType())
	require.Nil(t, change.GetPrevious(), "a reinstatement, which is not granted")

	for _, types := range [][]string{{"user_preferences.marketing_messages.stop"}, {"account_update"}} {
		some := access.Grant{AllWABAs: true, Unattributed: true, Types: types, PersonalData: access.PersonalDataFull}
		_, err = s.service.ListMarketingOptOuts(s.as(some), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "15550001"})
		requireReason(t, err, codes.PermissionDenied, "TYPE_NOT_ALLOWED")
	}
}

// TestEventsOfOtherAccounts: that a number moved is told, not by which event of another
// account.
func TestEventsOfOtherAccounts(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	s.post(quality("3", "15550002", testTime+50, "UPGRADE", "TIER_10K"))
	presence := func(grant access.Grant) *wabastreamv1.PhoneNumberPresence {
		got, err := s.service.GetAccount(s.as(grant), &wabastreamv1.GetAccountRequest{WabaId: "2"})
		require.NoError(t, err)
		require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED, got.GetPhoneNumbers()[0].GetPresence().GetState())
		text, err := protojson.Marshal(got)
		require.NoError(t, err)
		if !grant.AllWABAs {
			require.NotContains(t, string(text), `"3"`)
		}
		return got.GetPhoneNumbers()[0].GetPresence()
	}
	all, own := presence(access.Everything()), presence(ofAccounts("2"))
	require.Equal(t, "3", all.GetOrigin().GetWabaId())
	require.NotEmpty(t, all.GetOrigin().GetEventId())
	require.Empty(t, own.GetOrigin().GetEventId())
	require.Empty(t, own.GetOrigin().GetEventType())
	require.Equal(t, all.GetOrigin().GetCursor(), own.GetOrigin().GetCursor())
}

// TestPersons: persons are shown as the grant says, on every way.
func TestPersons(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	grant := access.Everything()
	ask := func() ([]*wabastreamv1.MarketingPreference, error, error) {
		list, err := s.service.ListMarketingOptOuts(s.as(grant), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "+1 555 0001"})
		_, err2 := s.service.GetMarketingPreference(s.as(grant), &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: "15550001", WaId: "491511"})
		return list.GetOptOuts(), err, err2
	}
	list, err, err2 := ask()
	require.NoError(t, err)
	require.NoError(t, err2)
	require.Equal(t, "491511", list[0].GetWaId())
	require.False(t, list[0].GetRedacted())
	require.Equal(t, "1", list[0].GetWabaId(), "attributed by what was learned")
	for want, level := range map[string]access.PersonalData{"pseudonym of 4": access.PersonalDataHashed, "": access.PersonalDataNone} {
		grant.PersonalData = level
		list, err, err2 = ask()
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, want, list[0].GetWaId())
		require.Empty(t, list[0].GetProfileName())
		require.True(t, list[0].GetRedacted())
		requireReason(t, err2, codes.PermissionDenied, "PERSONAL_DATA_NOT_ALLOWED")
	}
}

// TestPersonsOfANumberThatMoved: whoever has the number now knows who opted out before,
// and nothing of whose number it was.
func TestPersonsOfANumberThatMoved(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	s.post(quality("2", "15550001", testTime+50, "UPGRADE", "TIER_10K"))
	got, err := s.service.GetMarketingPreference(s.as(ofAccounts("2")), &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: "15550001", WaId: "491511"})
	require.NoError(t, err)
	require.Equal(t, wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP, got.GetPreference().GetValue())
	require.Empty(t, got.GetPreference().GetWabaId())
	require.Empty(t, got.GetPreference().GetOrigin().GetEventId())
	_, err = s.service.ListMarketingOptOuts(s.as(ofAccounts("1")), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "15550001"})
	requireReason(t, err, codes.PermissionDenied, "WABA_NOT_ALLOWED")

	configured := ofAccounts("configured")
	s.post(preference("15559999", "491513", testTime, "stop"))
	list, err := s.service.ListMarketingOptOuts(s.as(configured), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "15559999"})
	require.NoError(t, err)
	require.Len(t, list.GetOptOuts(), 1)
	never, err := s.service.GetMarketingPreference(s.as(configured), &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: "15559999", WaId: "never"})
	require.NoError(t, err)
	require.Equal(t, wabastreamv1.PreferenceValue_PREFERENCE_VALUE_UNSPECIFIED, never.GetPreference().GetValue())
	require.Nil(t, never.GetPreference().GetOrigin())
}

// TestRequestsThatAreWrong: they are refused, and told which field it is.
func TestRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	ctx := s.everyone()
	page, err := s.service.ListAccounts(ctx, &wabastreamv1.ListAccountsRequest{PageSize: 1})
	require.NoError(t, err)
	get := func(req *wabastreamv1.GetAccountRequest) error { _, err := s.service.GetAccount(ctx, req); return err }
	list := func(req *wabastreamv1.ListAccountsRequest) error {
		_, err := s.service.ListAccounts(ctx, req)
		return err
	}
	numbers := func(req *wabastreamv1.ListPhoneNumbersRequest) error {
		_, err := s.service.ListPhoneNumbers(ctx, req)
		return err
	}
	optOuts := func(req *wabastreamv1.ListMarketingOptOutsRequest) error {
		_, err := s.service.ListMarketingOptOuts(ctx, req)
		return err
	}
	person := func(req *wabastreamv1.GetMarketingPreferenceRequest) error {
		_, err := s.service.GetMarketingPreference(ctx, req)
		return err
	}
	for i, err := range []error{
		get(&wabastreamv1.GetAccountRequest{}),
		list(&wabastreamv1.ListAccountsRequest{PageSize: 1001}),
		list(&wabastreamv1.ListAccountsRequest{PageSize: -1}),
		list(&wabastreamv1.ListAccountsRequest{WabaIds: make([]string, 1001)}),
		list(&wabastreamv1.ListAccountsRequest{PageToken: "x"}),
		list(&wabastreamv1.ListAccountsRequest{PageToken: page.GetNextPageToken(), OnlySendingBlocked: true}),
		numbers(&wabastreamv1.ListPhoneNumbersRequest{PageToken: page.GetNextPageToken()}),
		numbers(&wabastreamv1.ListPhoneNumbersRequest{BusinessPhone: "+"}),
		optOuts(&wabastreamv1.ListMarketingOptOutsRequest{}),
		optOuts(&wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "1", PageSize: 10_001}),
		person(&wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: "1"}),
		person(&wabastreamv1.GetMarketingPreferenceRequest{WaId: "1"}),
	} {
		require.Error(t, err, "%d", i)
		requireReason(t, err, codes.InvalidArgument, "REQUEST_INVALID")
	}
	requireReason(t, get(&wabastreamv1.GetAccountRequest{WabaId: "none"}), codes.NotFound, "ACCOUNT_NOT_FOUND")
	requireReason(t, get(&wabastreamv1.GetAccountRequest{WabaId: "1", AtLeastCursor: "x"}), codes.InvalidArgument, "CURSOR_MALFORMED")
	_, err = s.service.GetAccount(t.Context(), &wabastreamv1.GetAccountRequest{WabaId: "1"})
	requireReason(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
}

// TestWhoHasSeenAnEventFindsItInTheAnswer: with at_least_cursor.
func TestWhoHasSeenAnEventFindsItInTheAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 50 {
		s.postTo("a", ban("1", testTime+int64(i), []string{"DISABLE", "REINSTATE"}[i%2]))
		bounds, err := s.log.Bounds(t.Context())
		require.NoError(t, err)
		got, err := s.service.GetAccount(s.everyone(), &wabastreamv1.GetAccountRequest{WabaId: "1", AtLeastCursor: s.service.config.Cursors.Format(bounds.Head)})
		require.NoError(t, err)
		require.Equal(t, time.Unix(testTime+int64(i), 0).UTC(), got.GetAccount().GetBan().GetOrigin().GetOccurTime().AsTime())
	}
}

// TestOnlyBlocked: a list of what is blocked has nothing else, in pages too.
func TestOnlyBlocked(t *testing.T) {
	t.Parallel()
	s := newTown(t)
	s.post(review("3", testTime, "REJECTED"))
	var seen []string
	for request := (&wabastreamv1.ListAccountsRequest{PageSize: 1, OnlySendingBlocked: true}); ; {
		page, err := s.service.ListAccounts(s.everyone(), request)
		require.NoError(t, err)
		for _, a := range page.GetAccounts() {
			seen = append(seen, a.GetWabaId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	require.Equal(t, []string{"3", "1"}, seen)
	got, err := s.service.ListAccounts(s.everyone(), &wabastreamv1.ListAccountsRequest{WabaIds: []string{"1", "2", "3", "none"}})
	require.NoError(t, err)
	require.Equal(t, "3", got.GetAccounts()[0].GetWabaId())
	require.Len(t, got.GetAccounts(), 3)
}
