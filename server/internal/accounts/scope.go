package accounts

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// typeMarketing is the type of all events that say whether a person wants marketing
// messages.
const typeMarketing = "user_preferences.marketing_messages"

// scope is what a caller may see.
type scope struct {
	grant   access.Grant
	wabas   map[string]struct{} // of the grant, if that does not have all
	cursors Cursors
	log     eventlog.LogID // whose positions are shown
}

// scopeOf is what the caller of a call may see.
func (s *Service) scopeOf(ctx context.Context) (*scope, error) {
	session := access.FromContext(ctx)
	if err := session.Err(); err != nil {
		return nil, unauthenticated(err)
	}
	return s.scopeFor(session.Caller().Grant)
}

func (s *Service) scopeFor(grant access.Grant) (*scope, error) {
	c := &scope{grant: grant, cursors: s.config.Cursors}
	if !grant.AllTypes && len(grant.Types) == 0 {
		return nil, apierror.New(codes.PermissionDenied, reasonTypeNotAllowed, "no events are granted to this caller")
	}
	if !grant.AllWABAs && !grant.Unattributed && len(grant.WABAIDs) == 0 {
		return nil, apierror.New(codes.PermissionDenied, reasonWABANotAllowed, "no accounts are granted to this caller")
	}
	if !grant.AllWABAs {
		c.wabas = make(map[string]struct{}, len(grant.WABAIDs))
		for _, waba := range grant.WABAIDs {
			c.wabas[waba] = struct{}{}
		}
	}
	return c, nil
}

// account reports whether what is of an account is granted; the empty one is that of
// numbers whose account is not known.
func (c *scope) account(waba string) bool {
	if waba == "" {
		return c.grant.Unattributed
	}
	_, named := c.wabas[waba]
	return named || c.grant.AllWABAs
}

// named refuses accounts that a request names and that are not granted.
func (c *scope) named(field string, wabas ...string) error {
	for _, waba := range wabas {
		if waba == "" || len(waba) > eventlog.MaxTextBytes {
			return apierror.Invalid(reasonRequestInvalid, field, "an account's id has 1 to 256 bytes")
		}
		if !c.account(waba) {
			return wabaNotAllowed(field, waba)
		}
	}
	return nil
}

// typ reports whether events of a type are granted.
func (c *scope) typ(typ string) bool {
	return c.grant.AllTypes || slices.ContainsFunc(c.grant.Types, func(path string) bool { return eventlog.PathSelects(path, typ) })
}

// viewing goes through what an account or a number has, and takes out what the caller
// may not see.
type viewing struct {
	*scope
	seen, hidden bool
}

// provenance finishes where something comes from, for the caller to see; false is that
// it may not.
func (v *viewing) provenance(p *wabastreamv1.Provenance) bool {
	if !v.typ(p.GetEventType()) {
		v.hidden = true
		return false
	}
	v.seen = true
	v.finish(p)
	return true
}

// finish adds the cursor, and takes out whose event it is if that is another account's
// that is not granted.
func (c *scope) finish(p *wabastreamv1.Provenance) {
	p.Cursor = c.cursors.Format(positionOf(c.log, p))
	if foreign := p.GetWabaId(); foreign != "" && !c.account(foreign) {
		p.WabaId, p.EventId, p.EventType = "", "", ""
	}
}

// keepValue takes a value out of its place unless the caller may see it.
func keepValue[V value](v *viewing, place *V) {
	var none V
	if *place != none && !v.provenance((*place).GetOrigin()) {
		*place = none
	}
}

func (v *viewing) keepProvenance(place **wabastreamv1.Provenance) {
	if *place != nil && !v.provenance(*place) {
		*place = nil
	}
}

// showAccount takes out of an account what the caller may not see; false says that
// nothing is left. What stands in the way of sending is added by blocks.
func (c *scope) showAccount(a *wabastreamv1.Account) bool {
	v := &viewing{scope: c}
	keepValue(v, &a.Existence)
	keepValue(v, &a.Ban)
	keepValue(v, &a.Violation)
	keepValue(v, &a.Review)
	keepValue(v, &a.Partner)
	keepValue(v, &a.MmLiteTerms)
	a.Restrictions = slices.DeleteFunc(a.GetRestrictions(), func(r *wabastreamv1.AccountRestriction) bool {
		return !v.provenance(r.GetOrigin())
	})
	v.keepProvenance(&a.FirstEvent)
	v.keepProvenance(&a.LastChange)
	a.Redacted = v.hidden
	return v.seen
}

// showNumber is the same for a number.
func (c *scope) showNumber(n *wabastreamv1.PhoneNumber) bool {
	v := &viewing{scope: c}
	keepValue(v, &n.Presence)
	keepValue(v, &n.VerifiedName)
	keepValue(v, &n.NameReview)
	keepValue(v, &n.Quality)
	keepValue(v, &n.Limit)
	v.keepProvenance(&n.FirstEvent)
	v.keepProvenance(&n.LastChange)
	n.Redacted = v.hidden
	return v.seen
}

// showChange does the same for a change; false says that the caller may not see it.
func (c *scope) showChange(change *wabastreamv1.AccountChange) bool {
	if !c.account(change.GetWabaId()) || !c.typ(change.GetOrigin().GetEventType()) {
		return false
	}
	c.finish(change.GetOrigin())
	if change.GetPrevious() == nil {
		return true
	}
	origin := originOf(change.GetPrevious())
	if !c.typ(origin.GetEventType()) {
		change.Previous = nil
		return true
	}
	c.finish(origin)
	return true
}

// marketing refuses callers that may not see who wants marketing messages.
func (c *scope) marketing() error {
	if !c.typ(typeMarketing) {
		return apierror.New(codes.PermissionDenied, reasonTypeNotAllowed, "the type "+typeMarketing+" is not granted to this caller")
	}
	return nil
}
