package accounts

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// people are whose events a benchmark folds: so many accounts, with three numbers each,
// of each of which a few persons want nothing.
type people struct {
	accounts uint64
	made     uint64
}

const (
	benchNumbers = 3  // of an account
	benchOptOuts = 10 // of an account
)

// first returns the records that everybody is known from, a call's at a time; none in
// the end.
func (p *people) first() []eventlog.Record {
	numbers := p.accounts * benchNumbers
	total := 2*numbers + p.accounts*benchOptOuts
	var records []eventlog.Record
	for ; p.made < total && len(records) < 1000; p.made++ {
		switch n := p.made; {
		case n < numbers:
			records = append(records, p.record(n, "account_update.phone_number_added", &wabastreamv1.Event{
				Payload: &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
					Event: wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_ADDED, EventText: "PHONE_NUMBER_ADDED", PhoneNumber: benchPhone(n),
				}}}))
		case n < 2*numbers:
			records = append(records, p.limited(n-numbers))
		default:
			records = append(records, p.optedOut(n%numbers, n))
		}
	}
	return records
}

// random returns records of a call that concern anybody.
func (p *people) random(random *rand.Rand) []eventlog.Record {
	records := make([]eventlog.Record, 1000)
	for i := range records {
		number := random.Uint64N(p.accounts * benchNumbers)
		switch i % 3 {
		case 0:
			records[i] = p.banned(number)
		case 1:
			records[i] = p.limited(number)
		default:
			records[i] = p.optedOut(number, random.Uint64N(2*p.accounts*benchOptOuts))
		}
		p.made++
	}
	return records
}

func benchPhone(number uint64) string { return fmt.Sprintf("1555%09d", number) }

func (p *people) banned(number uint64) eventlog.Record {
	return p.record(number, "account_update.disabled_update.disable", &wabastreamv1.Event{
		Payload: &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
			Event: wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_DISABLED_UPDATE, EventText: "DISABLED_UPDATE",
			BanInfo: &wabastreamv1.BanInfo{State: wabastreamv1.BanState_BAN_STATE_DISABLE, StateText: "DISABLE"},
		}}})
}

func (p *people) limited(number uint64) eventlog.Record {
	return p.record(number, "phone_number_quality_update.upgrade", &wabastreamv1.Event{
		Payload: &wabastreamv1.Event_PhoneNumberQualityUpdate{PhoneNumberQualityUpdate: &wabastreamv1.PhoneNumberQualityUpdate{
			Event: wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UPGRADE, EventText: "UPGRADE",
			DisplayPhoneNumber: benchPhone(number), CurrentLimit: wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_10K, CurrentLimitText: "TIER_10K",
		}}})
}

func (p *people) optedOut(number, person uint64) eventlog.Record {
	return p.record(number, "user_preferences.marketing_messages.stop", &wabastreamv1.Event{
		Payload: &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{
			WaId: fmt.Sprintf("4915%09d", person), Category: wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES,
			CategoryText: "marketing_messages", Value: wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP, ValueText: "stop",
		}}})
}

// record is the next one, of a number; numbers take turns among the accounts.
func (p *people) record(number uint64, typ string, event *wabastreamv1.Event) eventlog.Record {
	payload, _ := proto.Marshal(event) // texts are valid UTF-8
	r := eventlog.Record{Payload: payload, Header: eventlog.Header{
		Source: "nxcloud", WABAID: fmt.Sprintf("10000000%07d", number%p.accounts), WABASource: eventlog.WABAPayload, Type: typ,
		BusinessPhone: benchPhone(number), Severity: eventlog.SeverityInfo, OccurTime: time.Unix(1_760_000_000+int64(p.made), 0).UTC(),
	}}
	binary.BigEndian.PutUint64(r.ID[:], p.made)
	return r
}

// BenchmarkFold folds events that concern anybody, of a few or of many accounts. It
// tells the rate besides of the fold of what everybody is known from, which is that of a
// first start on a log that is there.
func BenchmarkFold(b *testing.B) {
	for _, accounts := range []uint64{1000, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) { benchmarkFold(b, &people{accounts: accounts}) })
	}
}

func benchmarkFold(b *testing.B, p *people) {
	b.Helper()
	dir := b.TempDir()
	first := foldAppended(b, dir, p, p.first)
	firstRate := float64(p.made) / first.Seconds()
	random, before := rand.New(rand.NewPCG(1, 2)), p.made
	var took time.Duration
	for b.Loop() {
		calls := 100
		took += foldAppended(b, dir, p, func() []eventlog.Record {
			if calls--; calls < 0 {
				return nil
			}
			return p.random(random)
		})
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(firstRate, "first-events/s")
	b.ReportMetric(float64(p.made-before)/took.Seconds(), "events/s")
}

// foldAppended appends to a log whose state rests, and tells how long the state takes to
// come after it.
func foldAppended(b *testing.B, dir string, p *people, next func() []eventlog.Record) time.Duration {
	b.Helper()
	log, err := pebblelog.Open(b.Context(), dir, pebblelog.Options{})
	require.NoError(b, err)
	defer func() { require.NoError(b, log.Close()) }()
	for records := next(); len(records) > 0; records = next() {
		_, err := log.Append(b.Context(), records)
		require.NoError(b, err)
	}
	begin := time.Now()
	state, err := log.Project(b.Context(), Projection())
	require.NoError(b, err)
	require.NoError(b, state.Wait(context.Background(), eventlog.Sequence(p.made-1)))
	return time.Since(begin)
}

// BenchmarkWatches has many watch an account each, while one account after another
// changes, a hundred in a second. It tells what an event takes of the processor, all in
// all.
func BenchmarkWatches(b *testing.B) {
	for _, watches := range []int{0, 1000} {
		b.Run(fmt.Sprintf("watches=%d", watches), func(b *testing.B) { benchmarkWatches(b, watches) })
	}
}

func benchmarkWatches(b *testing.B, watches int) {
	b.Helper()
	s, p := newSite(b), &people{accounts: 1000}
	for records := p.first(); len(records) > 0; records = p.first() {
		_, err := s.log.Append(b.Context(), records)
		require.NoError(b, err)
	}
	s.settle()
	all := make([]*frames, watches)
	for i := range all {
		all[i] = s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{WabaIds: []string{fmt.Sprintf("10000000%07d", i)}})
		all[i].snapshot(b)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin, events := processorTime(b), 0
	for b.Loop() {
		<-tick.C
		_, err := s.log.Append(b.Context(), []eventlog.Record{p.banned(uint64(events))})
		require.NoError(b, err)
		if watches > 0 {
			for len(all[events%watches].next(b).GetChanges().GetChanges()) == 0 {
			}
		}
		p.made++
		events++
	}
	b.ReportMetric(float64((processorTime(b)-begin).Microseconds())/float64(events), "cpu-us/event")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
