package accounts

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func accountUpdate(waba, phone string, at int64, event, more string) string {
	return fmt.Sprintf(`{"field":"account_update","value":{"event":%q,"wabaId":%q,"business_phone":%q,"time":%d%s}}`, event, waba, phone, at, more)
}

func ban(waba string, at int64, state string) string {
	return accountUpdate(waba, "15550001", at, "DISABLED_UPDATE", fmt.Sprintf(`,"ban_info":{"waba_ban_state":%q,"waba_ban_date":"October 22, 2025"}`, state))
}

func quality(waba, phone string, at int64, event, limit string) string {
	return fmt.Sprintf(`{"field":"phone_number_quality_update","value":{"event":%q,"wabaId":%q,"business_phone":%q,"display_phone_number":%q,"current_limit":%q,"time":%d}}`,
		event, waba, phone, phone, limit, at)
}

func name(waba, phone string, at int64, decision, requested string) string {
	return fmt.Sprintf(`{"field":"phone_number_name_update","value":{"decision":%q,"wabaId":%q,"display_phone_number":%q,"requested_verified_name":%q,"rejection_reason":"NONE","time":%d}}`,
		decision, waba, phone, requested, at)
}

func preference(phone, person string, at int64, choice string) string {
	return fmt.Sprintf(`{"field":"user_preferences","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":%q,"phone_number_id":"id-%s"},"contacts":[{"wa_id":%q}],"user_preferences":[{"wa_id":%q,"detail":"d","category":"marketing_messages","value":%q,"timestamp":%d}]}}`,
		phone, phone, person, person, choice, at)
}

func messages(waba, phone string, at int64) string {
	return fmt.Sprintf(`{"messages":[{"id":"m%d"}],"wabaId":%q,"business_phone":%q,"metadata":{"phone_number_id":"id-%s"}}`, at, waba, phone, phone)
}

const testTime = int64(1_761_000_000)

func TestLateEventsChangeNothingAndAreCounted(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(ban("1", testTime+10, "DISABLE"))
	changes := m.post(ban("1", testTime, "REINSTATE"))
	require.Len(t, changes, 1)
	require.True(t, changes[0].GetStale())
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_DISABLE, changes[0].GetPrevious().GetBan().GetInfo().GetState())
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_REINSTATE, changes[0].GetCurrent().GetBan().GetInfo().GetState())
	a := m.account()
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_DISABLE, a.GetBan().GetInfo().GetState())
	require.Equal(t, uint64(1), a.GetBan().GetOrigin().GetStaleCount())
	require.Equal(t, uint64(1), a.GetLastChange().GetSequence(), "nothing changed")

	changes = m.post(ban("1", testTime+10, "REINSTATE"))
	require.False(t, changes[0].GetStale(), "of the same time the later one counts")
	require.Equal(t, wabastreamv1.ChangeDirection_CHANGE_DIRECTION_REINSTATED, changes[0].GetDirection())
	require.Equal(t, uint64(1), m.account().GetBan().GetOrigin().GetStaleCount(), "the count goes on")
}

func TestTimesThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(ban("1", 4_000_000_000, "DISABLE")) // decades from now
	m.post(ban("1", testTime, "REINSTATE"))
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_REINSTATE, m.account().GetBan().GetInfo().GetState())
	m.post(`{"field":"account_update","value":{"event":"DISABLED_UPDATE","wabaId":"1","ban_info":{"waba_ban_state":"DISABLE"}}}`)
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_DISABLE, m.account().GetBan().GetInfo().GetState(), "no time counts as new")
	m.post(ban("1", testTime-5, "REINSTATE"))
	require.Equal(t, wabastreamv1.BanState_BAN_STATE_REINSTATE, m.account().GetBan().GetInfo().GetState(), "and yields to any")
}

func TestDeletionIsFinal(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(ban("1", testTime+10, "DISABLE")) // seen later than it was deleted
	changes := m.post(accountUpdate("1", "", testTime, "ACCOUNT_DELETED", ""))
	require.Equal(t, wabastreamv1.ChangeDirection_CHANGE_DIRECTION_DELETED, changes[0].GetDirection())
	require.False(t, changes[0].GetStale())
	m.post(ban("1", testTime+20, "REINSTATE"))
	require.Equal(t, wabastreamv1.AccountState_ACCOUNT_STATE_DELETED, m.account().GetExistence().GetState())
	changes = m.post(accountUpdate("1", "", testTime-1, "ACCOUNT_DELETED", ""))
	require.True(t, changes[0].GetStale())
}

func TestRestrictionsAreKeptByType(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	restricted := func(at int64, infos string) {
		m.post(accountUpdate("1", "", at, "ACCOUNT_RESTRICTION", `,"restriction_info":[`+infos+`]`))
	}
	restricted(testTime, `{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":1761000100},{"restriction_type":"OTHER"}`)
	restricted(testTime+1, `{"restriction_type":"OTHER","expiration":"1761000200"}`)
	m.post(accountUpdate("1", "", testTime+2, "ACCOUNT_RESTRICTION", "")) // as in the provider's example
	a := m.account()
	types := make([]string, len(a.GetRestrictions()))
	for i, r := range a.GetRestrictions() {
		types[i] = fmt.Sprint(r.GetInfo().GetRestrictionTypeText(), " ", r.GetInfo().GetExpireTimeText())
	}
	require.Equal(t, []string{"RESTRICTED_BIZ_INITIATED_MESSAGING 1761000100", "OTHER 1761000200", " "}, types)

	for i := range 100 {
		restricted(testTime+10, fmt.Sprintf(`{"restriction_type":"T%d"}`, i))
	}
	a = m.account()
	require.Len(t, a.GetRestrictions(), maxRestrictions)
	require.Equal(t, "T99", a.GetRestrictions()[maxRestrictions-1].GetInfo().GetRestrictionTypeText())
}

func TestTiersAndFlags(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	direction := func(body string) []wabastreamv1.ChangeDirection {
		var all []wabastreamv1.ChangeDirection
		for _, c := range m.post(body) {
			all = append(all, c.GetDirection())
		}
		return all
	}
	m.post(messages("1", "15550001", 0))
	up, down := wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UPGRADED, wabastreamv1.ChangeDirection_CHANGE_DIRECTION_DOWNGRADED
	confirmed := wabastreamv1.ChangeDirection_CHANGE_DIRECTION_CONFIRMED
	flagged, unflagged := wabastreamv1.ChangeDirection_CHANGE_DIRECTION_FLAGGED, wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNFLAGGED
	require.Equal(t, []wabastreamv1.ChangeDirection{up}, direction(quality("1", "15550001", testTime, "UPGRADE", "TIER_10K")))
	require.Equal(t, []wabastreamv1.ChangeDirection{flagged, confirmed}, direction(quality("1", "15550001", testTime+1, "FLAGGED", "TIER_10K")))
	require.Equal(t, []wabastreamv1.ChangeDirection{down}, direction(quality("1", "15550001", testTime+2, "DOWNGRADE", "TIER_1K")))
	require.Equal(t, []wabastreamv1.ChangeDirection{unflagged, up}, direction(quality("1", "15550001", testTime+3, "UNFLAGGED", "TIER_UNLIMITED")))
	n := m.number("1", "15550001")
	require.False(t, n.GetQuality().GetFlagged())
	require.Equal(t, wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_UNLIMITED, n.GetLimit().GetLimit())
	require.Equal(t, "id-15550001", n.GetPhoneNumberId())
	require.Equal(t, n.GetLastChange().GetSequence(), m.account().GetLastChange().GetSequence(), "an account changes with its numbers")
}

func TestANameThatWasApprovedStaysWhenTheNextIsRejected(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(name("1", "+1 555-0001", testTime, "APPROVED", "Old"))
	m.post(name("1", "15550001", testTime+2, "REJECTED", "New"))
	m.post(name("1", "15550001", testTime+1, "APPROVED", "Between")) // late for the review, not for the name
	n := m.number("1", "15550001")
	require.Equal(t, "Between", n.GetVerifiedName().GetName())
	require.Equal(t, wabastreamv1.ReviewDecision_REVIEW_DECISION_REJECTED, n.GetNameReview().GetDecision())
	require.Equal(t, uint64(1), n.GetNameReview().GetOrigin().GetStaleCount())
}

func TestNumbersFollowTheNewestAccount(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(accountUpdate("1", "15550001", testTime, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555 0002"`))
	m.post(messages("2", "15550002", 1)) // without a time it counts as new
	require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED, m.number("1", "15550002").GetPresence().GetState())
	require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN, m.number("2", "15550002").GetPresence().GetState())
	m.post(preference("15550002", "person", testTime+5, "stop"))
	require.Equal(t, "2", m.preference("15550002", "person").GetWabaId())

	m.post(accountUpdate("1", "15550002", testTime+20, "ACCOUNT_VIOLATION", ""))
	require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN, m.number("1", "15550002").GetPresence().GetState(), "it is back")
	m.post(accountUpdate("2", "15550002", testTime+10, "ACCOUNT_VIOLATION", ""))
	require.Equal(t, "1", decodePair(m.keys[string(pairKey("a", "15550002"))]).waba, "a late one moves nothing")

	m.post(accountUpdate("1", "15550002", testTime+30, "PHONE_NUMBER_REMOVED", `,"phone_number":"15550002"`))
	require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED, m.number("1", "15550002").GetPresence().GetState())
	m.post(preference("15550002", "person", testTime+40, "resume"))
	require.Equal(t, "1", m.preference("15550002", "person").GetWabaId(), "until another account has it")
}

func TestASourceTeachesItsOwnEventsOnly(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.postTo("b", messages("1", "15550001", 0))
	m.post(preference("15550001", "person", testTime, "stop"))
	require.Empty(t, m.preference("15550001", "person").GetWabaId())
	m.postTo("b", preference("15550001", "person", testTime+1, "stop"))
	require.Equal(t, "1", m.preference("15550001", "person").GetWabaId())
}

func TestRemovalTeachesNothing(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(accountUpdate("1", "15550001", testTime, "PHONE_NUMBER_REMOVED", `,"phone_number":"15550002"`))
	require.Equal(t, "1", decodePair(m.keys[string(pairKey("a", "15550001"))]).waba)
	require.NotContains(t, m.keys, string(pairKey("a", "15550002")))
	require.Equal(t, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED, m.number("1", "15550002").GetPresence().GetState())
}

func TestNumbersOfUnknownAccounts(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(`{"field":"phone_number_quality_update","value":{"event":"FLAGGED","display_phone_number":"15550009","current_limit":"TIER_1K","time":1761000000}}`)
	require.True(t, m.number("", "15550009").GetQuality().GetFlagged())
	require.NotContains(t, m.keys, string(accountKey("")))
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(preference("15550001", "x", testTime, "stop"))
	m.post(preference("15550001", "y", testTime, "stop"))
	m.post(preference("15550001", "x", testTime-1, "resume")) // late
	require.Contains(t, m.keys, string(optOutKey("15550001", 1)))
	require.Contains(t, m.keys, string(optOutKey("15550001", 2)))
	require.Equal(t, uint64(1), m.preference("15550001", "x").GetOrigin().GetStaleCount())
	m.post(preference("15550001", "x", testTime+1, "resume"))
	require.NotContains(t, m.keys, string(optOutKey("15550001", 1)))
	m.post(preference("15550001", "y", testTime+1, "stop"))
	require.NotContains(t, m.keys, string(optOutKey("15550001", 2)))
	require.Equal(t, "y", string(m.keys[string(optOutKey("15550001", 5))]))
	require.Empty(t, m.notes, "persons are nobody's account")
}

func TestWhatTheContractDoesNotKnowChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.post(accountUpdate("1", "15550001", testTime, "SOMETHING_NEW", ""))
	before := m.dump()
	for _, body := range []string{
		accountUpdate("1", "15550001", testTime, "SOMETHING_NEW", ""), accountUpdate("1", "", testTime, "DISABLED_UPDATE", ""),
		`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"1"},"user_preferences":[{"category":"marketing_messages","value":"stop"},{"wa_id":"p","category":"other","value":"stop"},7]}}`,
		messages("1", "15550001", 1), `{"field":"account_update","value":7}`, `{"field":"phone_number_name_update","value":{"decision":"APPROVED"}}`, `null`,
	} {
		m.post(body)
	}
	delete(m.keys, string(idPairKey("a", "id-15550001"))) // the messages told it
	require.NotEqual(t, before, m.dump(), "and the number's id")
	require.Len(t, m.notes, 1)
}

// TestTheFoldDoesNotDependOnHowTheLogIsDivided folds what happened to a few accounts at
// random, record by record and in stretches: to the same bytes.
func TestTheFoldDoesNotDependOnHowTheLogIsDivided(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	m := newMemory(t)
	for range 1200 {
		for _, e := range m.entriesOf([]string{"a", "b"}[random.IntN(2)], randomCallback(random)) {
			m.fold(e)
		}
	}
	require.Greater(t, len(m.notes), 300)
	want := m.dump()
	for range 3 {
		require.Equal(t, want, m.again(random).dump())
	}
}

// randomCallback is something that happens to one of three accounts, six numbers and
// ten persons, at some time.
func randomCallback(random *rand.Rand) string {
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	waba, phone := pick("1", "2", "3"), strconv.Itoa(15550000+random.IntN(6))
	at := testTime + random.Int64N(1000)
	switch random.IntN(10) {
	case 0:
		return ban(waba, at, pick("DISABLE", "REINSTATE", "SCHEDULE_FOR_DISABLE", "NEW"))
	case 1:
		return accountUpdate(waba, phone, at, pick("ACCOUNT_VIOLATION", "PARTNER_REMOVED", "MM_LITE_TERMS_SIGNED", "ACCOUNT_DELETED"), "")
	case 2:
		return accountUpdate(waba, phone, at, "ACCOUNT_RESTRICTION", fmt.Sprintf(`,"restriction_info":[{"restriction_type":"T%d","expiration":%d}]`, random.IntN(5), at+500))
	case 3:
		return accountUpdate(waba, phone, at, pick("PHONE_NUMBER_ADDED", "PHONE_NUMBER_REMOVED"), fmt.Sprintf(`,"phone_number":"%d"`, 15550000+random.IntN(6)))
	case 4:
		return name(waba, phone, at, pick("APPROVED", "REJECTED", "DEFERRED"), pick("x", "y"))
	case 5:
		return quality(waba, phone, at, pick("FLAGGED", "UNFLAGGED", "UPGRADE", "DOWNGRADE"), pick("TIER_1K", "TIER_10K", "TIER_UNLIMITED", "NEW"))
	case 6:
		return fmt.Sprintf(`{"field":"account_review_update","value":{"decision":%q,"wabaId":%q,"time":%d}}`, pick("APPROVED", "REJECTED"), waba, at)
	case 7:
		return messages(waba, phone, at)
	default:
		return preference(phone, fmt.Sprint("person-", random.IntN(10)), at, pick("stop", "resume"))
	}
}

// TestTheNewestTimeWinsInWhateverOrderEventsCome delivers the same events in many
// orders.
func TestTheNewestTimeWinsInWhateverOrderEventsCome(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		m := newMemory(t)
		order := random.Perm(20)
		late, newest := 0, -1
		for _, i := range order {
			m.post(quality("1", "15550001", testTime+int64(i), "UPGRADE", fmt.Sprintf("T%d", i)))
			if i < newest {
				late++
			}
			newest = max(newest, i)
		}
		limit := m.number("1", "15550001").GetLimit()
		require.Equal(t, "T19", limit.GetLimitText())
		require.Equal(t, time.Unix(testTime+19, 0).UTC(), limit.GetOrigin().GetOccurTime().AsTime())
		require.Equal(t, uint64(late), limit.GetOrigin().GetStaleCount())
	}
}

func TestKeysOfTextsAreApart(t *testing.T) {
	t.Parallel()
	texts := []string{"", "a", "a\x00", "a\x00\x01", "a\x01", "ab", "\x00", "\xff"}
	seen := make(map[string]bool)
	for _, x := range texts {
		for _, y := range texts {
			k := numberKey(x, y)
			require.False(t, seen[string(k)])
			seen[string(k)] = true
			first, rest := cutText(k[1:])
			second, rest := cutText(rest)
			require.Equal(t, []string{x, y}, []string{first, second})
			require.Empty(t, rest)
		}
	}
}
