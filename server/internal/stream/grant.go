package stream

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// maxRefusedValues bounds how many of the values that a caller may not name are
	// repeated to it.
	maxRefusedValues = 5
	// maxReadyValues is up to how many values in all `ready` shows filters as narrowed.
	// Many filters and a long grant would make a frame that no client accepts.
	maxReadyValues = 10_000
)

// scope is what a caller may see, for filters to be narrowed to.
type scope struct {
	grant access.Grant
	// within selects all of it.
	within eventlog.Filter
}

// permit is what is sent to a caller of what it asks for.
type permit struct {
	scope   scope
	matcher *eventlog.Matcher // selects what is asked for of the scope
	view    viewKind
}

// permitFor refuses a request that names what the caller may not see.
func permitFor(caller access.Caller, requested []eventlog.Filter, wantsRaw bool) (permit, error) {
	granted := scopeOf(caller.Grant)
	narrowed, err := granted.narrow(requested)
	if err != nil {
		return permit{}, err
	}
	view, err := granted.view(wantsRaw)
	return permit{granted, eventlog.NewMatcher(narrowed), view}, err
}

func scopeOf(grant access.Grant) scope {
	s := scope{grant: grant}
	s.within.Attributed, s.within.Unattributed = grant.AllWABAs, grant.Unattributed
	if !grant.AllWABAs {
		s.within.WABAIDs = grant.WABAIDs
	}
	if s.within.Attributed && s.within.Unattributed {
		s.within.Attributed, s.within.Unattributed = false, false // no clause: of whatever account
	}
	if !grant.AllTypes {
		s.within.Types = grant.Types
	}
	if s.nothing() {
		s.within = eventlog.Filter{Types: []string{""}} // which no record has; no clause at all would select them all
	}
	return s
}

// types selects the types that are granted, of whatever account.
func (s *scope) types() *eventlog.Matcher {
	if len(s.within.Types) == 0 {
		return nil
	}
	return eventlog.NewMatcher([]eventlog.Filter{{Types: s.within.Types}})
}

// everything says that nothing is withheld.
func (s *scope) everything() bool {
	return s.grant.AllWABAs && s.grant.Unattributed && s.grant.AllTypes
}

// nothing says that no event is granted.
func (s *scope) nothing() bool {
	noAccount := !s.grant.AllWABAs && !s.grant.Unattributed && len(s.grant.WABAIDs) == 0
	return noAccount || !s.grant.AllTypes && len(s.grant.Types) == 0
}

// permits reports whether a record is granted.
func (s *scope) permits(h *eventlog.Header) bool {
	switch {
	case h.WABAID == "" && !s.grant.Unattributed:
		return false
	case h.WABAID != "" && !s.grant.AllWABAs && !slices.Contains(s.grant.WABAIDs, h.WABAID):
		return false
	}
	return s.grant.AllTypes || slices.ContainsFunc(s.grant.Types, func(path string) bool { return eventlog.PathSelects(path, h.Type) })
}

// narrow returns filters that select of what is granted what the request's do; none
// are only returned where everything is granted and wanted. A request that names what
// is not granted is refused.
func (s *scope) narrow(requested []eventlog.Filter) ([]eventlog.Filter, error) {
	if s.nothing() {
		return nil, notAllowed(reasonWABANotAllowed, "filters", "no events are granted to this caller", nil)
	}
	if s.everything() {
		return requested, nil
	}
	if len(requested) == 0 {
		return []eventlog.Filter{s.within}, nil
	}
	granted := s.named(requested)
	narrowed := make([]eventlog.Filter, len(requested))
	for i, f := range requested {
		field := fmt.Sprintf("filters[%d]", i)
		if err := s.narrowAccounts(&f, field, granted); err != nil {
			return nil, err
		}
		if err := s.narrowTypes(&f, field); err != nil {
			return nil, err
		}
		narrowed[i] = f
	}
	return narrowed, nil
}

// named is the set of accounts that filters may name; nil is any of them, or that none
// is named.
func (s *scope) named(requested []eventlog.Filter) map[string]struct{} {
	if s.grant.AllWABAs || !slices.ContainsFunc(requested, func(f eventlog.Filter) bool { return len(f.WABAIDs) > 0 }) {
		return nil
	}
	granted := make(map[string]struct{}, len(s.grant.WABAIDs))
	for _, id := range s.grant.WABAIDs {
		granted[id] = struct{}{}
	}
	return granted
}

func (s *scope) narrowAccounts(f *eventlog.Filter, field string, granted map[string]struct{}) error {
	if len(f.WABAIDs) == 0 && !f.Unattributed {
		f.WABAIDs, f.Attributed, f.Unattributed = s.within.WABAIDs, s.within.Attributed, s.within.Unattributed
		return nil
	}
	if f.Unattributed && !s.grant.Unattributed {
		return notAllowed(reasonWABANotAllowed, field+".include_unattributed", "events whose WABA is not known are not granted to this caller", nil)
	}
	if s.grant.AllWABAs {
		return nil
	}
	var refused []string
	for _, id := range f.WABAIDs {
		if _, ok := granted[id]; !ok {
			refused = append(refused, id)
		}
	}
	if len(refused) > 0 {
		return notAllowed(reasonWABANotAllowed, field+".waba_ids", "not granted to this caller", refused)
	}
	return nil
}

// narrowTypes leaves of each path what a granted one selects too: the longer of the
// two, where one of them is above the other.
func (s *scope) narrowTypes(f *eventlog.Filter, field string) error {
	if s.grant.AllTypes {
		return nil
	}
	if len(f.Types) == 0 {
		f.Types = s.within.Types
		return nil
	}
	both, refused := s.typesIn(f.Types)
	if len(refused) > 0 {
		return notAllowed(reasonTypeNotAllowed, field+".types", "not granted to this caller", refused)
	}
	f.Types = both
	return nil
}

// typesIn returns the paths that select what is granted of paths, and those of which
// nothing is.
func (s *scope) typesIn(paths []string) (both, refused []string) {
	add := func(path string) {
		if !slices.ContainsFunc(both, func(kept string) bool { return eventlog.PathSelects(kept, path) }) {
			both = append(both, path)
		}
	}
	for _, path := range paths {
		overlaps := false
		for _, granted := range s.grant.Types {
			switch {
			case eventlog.PathSelects(granted, path):
				overlaps = true
				add(path)
			case eventlog.PathSelects(path, granted):
				overlaps = true
				add(granted)
			}
		}
		if !overlaps {
			refused = append(refused, path)
		}
	}
	return both, refused
}

// ofAccount selects what is granted of an account that is granted.
func (s *scope) ofAccount(id string) eventlog.Filter {
	return eventlog.Filter{WABAIDs: []string{id}, Types: s.within.Types}
}

// ofType selects what is granted of a path of which something is.
func (s *scope) ofType(path string) eventlog.Filter {
	f := s.within
	f.Types = []string{path}
	if !s.grant.AllTypes {
		f.Types, _ = s.typesIn(f.Types)
	}
	return f
}

// view is the form in which the caller receives events. Who does not see all personal
// data gets none of the callbacks' JSON, and events that say so.
func (s *scope) view(wantsRaw bool) (viewKind, error) {
	switch {
	case s.grant.PersonalData == access.PersonalDataHashed:
		return viewHashed, nil
	case s.grant.PersonalData != access.PersonalDataFull:
		return viewNone, nil
	case !wantsRaw:
		return viewPlain, nil
	case !s.grant.RawJSON:
		return viewNone, notAllowed(reasonRawJSONNotAllowed, "include_raw_json", "raw JSON is not granted to this caller", nil)
	}
	return viewRaw, nil
}

// notAllowed refuses what a request names. It repeats a few of the caller's own values
// and says nothing of whether they exist.
func notAllowed(reason, field, message string, values []string) error {
	metadata := map[string]string{"field": field}
	if len(values) > 0 {
		shown := make([]string, 0, maxRefusedValues)
		for _, v := range values[:min(len(values), maxRefusedValues)] {
			shown = append(shown, shorten(v))
		}
		metadata["values"] = strings.Join(shown, ",")
		message = fmt.Sprintf("%q: %s", shown, message)
	}
	return apierror.WithMetadata(codes.PermissionDenied, reason, field+": "+message, metadata)
}

// filtersInForce is how `ready` shows a request's filters once they are narrowed.
func (s *scope) filtersInForce(requested []*wabastreamv1.EventFilter, narrowed []eventlog.Filter) []*wabastreamv1.EventFilter {
	values := 0
	for i := range narrowed {
		values += len(narrowed[i].WABAIDs) + len(narrowed[i].Types)
	}
	if s.everything() || values > maxReadyValues {
		return requested
	}
	if len(requested) == 0 {
		requested = []*wabastreamv1.EventFilter{{}}
	}
	shown := make([]*wabastreamv1.EventFilter, len(narrowed))
	for i := range narrowed {
		shown[i] = proto.CloneOf(requested[i])
		shown[i].WabaIds, shown[i].Types = narrowed[i].WABAIDs, narrowed[i].Types
		shown[i].IncludeUnattributed = narrowed[i].Unattributed
		if proto.Size(shown[i]) == 0 {
			return nil // every account, but no event without: the grant says it
		}
	}
	return shown
}

// grantOf is how `ready` shows a grant. There is none where nobody is asked who they
// are.
func grantOf(caller access.Caller, maxStreams int) *wabastreamv1.Grant {
	if caller.Name == "" {
		return nil
	}
	g := &wabastreamv1.Grant{
		Consumer:     caller.Name,
		AllWabas:     caller.Grant.AllWABAs,
		Unattributed: caller.Grant.Unattributed,
		AllTypes:     caller.Grant.AllTypes,
		RawJson:      caller.Grant.RawJSON,
		PersonalData: personalDataOf(caller.Grant.PersonalData),
		MaxStreams:   int32(maxStreams),
	}
	if !g.GetAllWabas() {
		g.WabaIds = caller.Grant.WABAIDs
	}
	if !g.GetAllTypes() {
		g.Types = caller.Grant.Types
	}
	if !caller.ExpireTime.IsZero() {
		g.ExpireTime = timestamppb.New(caller.ExpireTime)
	}
	return g
}

func personalDataOf(p access.PersonalData) wabastreamv1.PersonalData {
	switch p {
	case access.PersonalDataFull:
		return wabastreamv1.PersonalData_PERSONAL_DATA_FULL
	case access.PersonalDataHashed:
		return wabastreamv1.PersonalData_PERSONAL_DATA_HASHED
	default:
		return wabastreamv1.PersonalData_PERSONAL_DATA_NONE
	}
}
