package main

import (
	"encoding/binary"
	"fmt"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"google.golang.org/protobuf/proto"
)

// censusBatch is how many records are appended at once.
const censusBatch = 1000

// census makes the events that a population is known from: each number is added to its
// account and told its limit, one account in ten is banned, and persons opt out.
type census struct {
	population
	made uint64
}

func newCensus(p population) *census { return &census{population: p} }

// next returns some more records, none in the end.
func (c *census) next() []eventlog.Record {
	bans := c.accounts / 10
	total := 2*c.numbers + bans + c.optOuts
	var records []eventlog.Record
	for ; c.made < total && len(records) < censusBatch; c.made++ {
		n := c.made
		switch {
		case n < c.numbers:
			records = append(records, c.record(n, "account_update.phone_number_added", n, &wabastreamv1.Event{
				Payload: &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
					Event: wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_ADDED, EventText: "PHONE_NUMBER_ADDED", PhoneNumber: phoneOf(n),
				}}}))
		case n < 2*c.numbers:
			records = append(records, c.record(n, "phone_number_quality_update.upgrade", n-c.numbers, &wabastreamv1.Event{
				Payload: &wabastreamv1.Event_PhoneNumberQualityUpdate{PhoneNumberQualityUpdate: &wabastreamv1.PhoneNumberQualityUpdate{
					Event: wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UPGRADE, EventText: "UPGRADE",
					DisplayPhoneNumber: phoneOf(n - c.numbers), CurrentLimit: wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_10K, CurrentLimitText: "TIER_10K",
				}}}))
		case n < 2*c.numbers+bans:
			records = append(records, c.record(n, "account_update.disabled_update.disable", 10*(n-2*c.numbers), &wabastreamv1.Event{
				Payload: &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
					Event: wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_DISABLED_UPDATE, EventText: "DISABLED_UPDATE",
					BanInfo: &wabastreamv1.BanInfo{State: wabastreamv1.BanState_BAN_STATE_DISABLE, StateText: "DISABLE"},
				}}}))
		default:
			records = append(records, c.record(n, "user_preferences.marketing_messages.stop", n%c.numbers, &wabastreamv1.Event{
				Payload: &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{
					WaId: fmt.Sprintf("4915%09d", n), Category: wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES,
					CategoryText: "marketing_messages", Value: wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP, ValueText: "stop",
				}}}))
		}
	}
	return records
}

func phoneOf(number uint64) string { return fmt.Sprintf("1555%09d", number) }

// record is the nth, of a number, which takes turns among the accounts.
func (c *census) record(n uint64, typ string, number uint64, event *wabastreamv1.Event) eventlog.Record {
	payload, _ := proto.Marshal(event) // texts are valid UTF-8
	r := eventlog.Record{Payload: payload}
	binary.BigEndian.PutUint64(r.ID[:], n)
	r.Header = eventlog.Header{
		ID: r.ID, Source: sourceName, WABAID: account(number % c.accounts), WABASource: eventlog.WABAPayload, Type: typ,
		BusinessPhone: phoneOf(number), Severity: eventlog.SeverityInfo, OccurTime: time.Unix(1_760_000_000+int64(n), 0).UTC(),
	}
	return r
}
