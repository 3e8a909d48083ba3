package accounts

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// What stands in the way of sending is judged when it is asked for, by what the caller
// may see: restrictions end by themselves.

// judgeAccount fills in what depends on the moment.
func judgeAccount(a *wabastreamv1.Account, now time.Time) {
	for _, r := range a.GetRestrictions() {
		end := r.GetInfo().GetExpireTime()
		r.Active = end == nil || now.Before(end.AsTime())
	}
	a.SendingBlocks = accountBlocks(a)
	a.SendingBlocked = len(a.GetSendingBlocks()) > 0
}

// judgeNumber does the same for a number; account may be nil.
func judgeNumber(n *wabastreamv1.PhoneNumber, account *wabastreamv1.Account) {
	n.SendingBlocks = append(numberBlocks(n), account.GetSendingBlocks()...)
	n.SendingBlocked = len(n.GetSendingBlocks()) > 0
}

func accountBlocks(a *wabastreamv1.Account) []*wabastreamv1.SendingBlock {
	var blocks []*wabastreamv1.SendingBlock
	block := func(reason wabastreamv1.SendingBlockReason, origin *wabastreamv1.Provenance, end *timestamppb.Timestamp) {
		blocks = append(blocks, &wabastreamv1.SendingBlock{Reason: reason, Origin: origin, ExpireTime: end})
	}
	if a.GetExistence().GetState() == wabastreamv1.AccountState_ACCOUNT_STATE_DELETED {
		block(wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_ACCOUNT_DELETED, a.GetExistence().GetOrigin(), nil)
	}
	if a.GetBan().GetInfo().GetState() == wabastreamv1.BanState_BAN_STATE_DISABLE {
		block(wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_ACCOUNT_BANNED, a.GetBan().GetOrigin(), nil)
	}
	if a.GetPartner().GetState() == wabastreamv1.PartnerState_PARTNER_STATE_REMOVED {
		block(wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_PARTNER_REMOVED, a.GetPartner().GetOrigin(), nil)
	}
	if a.GetReview().GetDecision() == wabastreamv1.ReviewDecision_REVIEW_DECISION_REJECTED {
		block(wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_REVIEW_REJECTED, a.GetReview().GetOrigin(), nil)
	}
	for _, r := range a.GetRestrictions() {
		if reason, ok := restrictionBlock(r.GetInfo().GetRestrictionType()); ok && r.GetActive() {
			block(reason, r.GetOrigin(), r.GetInfo().GetExpireTime())
		}
	}
	return blocks
}

func restrictionBlock(typ wabastreamv1.RestrictionType) (reason wabastreamv1.SendingBlockReason, ok bool) {
	switch typ {
	case wabastreamv1.RestrictionType_RESTRICTION_TYPE_BIZ_INITIATED_MESSAGING:
		return wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_BIZ_INITIATED_MESSAGING, true
	case wabastreamv1.RestrictionType_RESTRICTION_TYPE_CUSTOMER_INITIATED_MESSAGING:
		return wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_CUSTOMER_INITIATED_MESSAGING, true
	}
	return 0, false
}

func numberBlocks(n *wabastreamv1.PhoneNumber) []*wabastreamv1.SendingBlock {
	var reason wabastreamv1.SendingBlockReason
	switch n.GetPresence().GetState() {
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED:
		reason = wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_NUMBER_REMOVED
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED:
		reason = wabastreamv1.SendingBlockReason_SENDING_BLOCK_REASON_NUMBER_MOVED
	default:
		return nil
	}
	return []*wabastreamv1.SendingBlock{{Reason: reason, Origin: n.GetPresence().GetOrigin()}}
}
