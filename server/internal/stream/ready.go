package stream

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// maxUnseenLookups bounds the look-ups that a ready frame's warnings cost.
const maxUnseenLookups = 50

func (s *Service) ready(ctx context.Context, caller access.Caller, sub *subscription, filters []*wabastreamv1.EventFilter) (*wabastreamv1.Ready, error) {
	warnings, err := s.warnings(ctx, sub)
	if err != nil {
		return nil, fmt.Errorf("look for values never seen: %w", err)
	}
	return &wabastreamv1.Ready{
		LogId:             sub.bounds.Head.Log.String(),
		EarliestCursor:    earliestCursor(sub.bounds, sub.matcher, sub.bounds.Start),
		HeadCursor:        cursorOf(sub.bounds.Head),
		Resumed:           sub.resumed,
		HeartbeatInterval: durationpb.New(sub.heartbeat),
		Filters:           sub.scope.filtersInForce(filters, sub.matcher.Filters()),
		Limits: &wabastreamv1.SubscriptionLimits{
			MaxFilters:      maxFilters,
			MaxFilterValues: maxFilterValues,
			MaxFilterTypes:  maxFilterTypes,
			MaxBatchEvents:  int32(sub.batchEvents),
			MaxBatchBytes:   maxBatchBytes,
			MaxEventBytes:   maxEventBytes,
		},
		ServerVersion: s.version,
		Sources:       s.sources(),
		Warnings:      warnings,
		TypeTrims:     typeTrims(sub.bounds, sub.matcher),
		Grant:         grantOf(caller, s.admission.quota(caller)),
	}, nil
}

// warnings names the WABAs and types of a request that the log does not hold, as far
// as its caller may see: most often a typing mistake, which would otherwise show as
// silence.
func (s *Service) warnings(ctx context.Context, sub *subscription) ([]string, error) {
	var warnings []string
	lookups := 0
	check := func(f eventlog.Filter, what, value string) error {
		if lookups++; lookups > maxUnseenLookups {
			return nil
		}
		page, err := s.log.Read(ctx, eventlog.Query{Reverse: true, Limit: 1, Filter: eventlog.NewMatcher([]eventlog.Filter{f})})
		if err != nil {
			return ctx.Err() // a hint is not worth refusing the subscription for
		}
		if len(page.Entries) == 0 && !page.More {
			warnings = append(warnings, fmt.Sprintf("the log holds no event of %s %q", what, value))
		}
		return nil
	}
	for _, f := range sub.requested {
		for _, id := range f.WABAIDs {
			if err := check(sub.scope.ofAccount(id), "WABA", id); err != nil {
				return nil, err
			}
		}
		for _, path := range f.Types {
			if err := check(sub.scope.ofType(path), "type", path); err != nil {
				return nil, err
			}
		}
	}
	return warnings, nil
}
