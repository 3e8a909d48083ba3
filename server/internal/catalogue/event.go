package main

import (
	"encoding/base32"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// translated is the event that subscribers get of a callback of one event, but for
// what only a log can say: cursor, sequence and receive_time.
func translated(callback string) (*wabastreamv1.Event, error) {
	events, err := translate.Callback(source, []byte(callback))
	if err != nil {
		return nil, fmt.Errorf("translate %s: %w", callback, err)
	}
	if len(events) != 1 {
		return nil, fmt.Errorf("translate %s: %d events", callback, len(events))
	}
	made := events[0]
	event := &wabastreamv1.Event{
		Id:            strings.ToLower(base32.HexEncoding.EncodeToString(made.ID[:])),
		Type:          made.Type,
		Severity:      made.Severity,
		Source:        source,
		WabaId:        made.WABAID,
		BusinessPhone: eventlog.NormalizePhone(made.BusinessPhone),
	}
	if made.WABAID != "" {
		event.WabaIdSource = wabastreamv1.WabaIdSource_WABA_ID_SOURCE_PAYLOAD
	}
	if !made.OccurTime.IsZero() {
		event.OccurTime = timestamppb.New(made.OccurTime)
	}
	proto.Merge(event, made.Payload)
	return event, nil
}
