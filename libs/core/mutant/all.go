//go:build mutants

package mutant

// All lists the mistakes.
var All = []Bug{
	AckBeforeSync, VoteNotSynced, LogNotSynced, ReadWithoutQuorum, ReadBeforeOwnTerm,
	ReadBeforeApplied, AppendPasses, LostDiskVotes, TruncateBeyondCheckpoint,
	CheckpointBeforeSync, DiscardBeforeCheckpoint, ApplyTwice, DedupForgotten,
	RevisionFromKeys, PublishEarly, PrevFromEntry, ReadCompactedInTxn, TrimCompacted,
	SkipCompactedDeletes, ExpireAnyGeneration, FenceIgnored, HotKeepsDeleted, LeaseClockRuns, LeaseClockLeaps,
	RenewExpiring, ExpiryForgotten, RenewWithoutQuorum, RenewWithoutLook, LockForAll,
	ProgressAhead, PlusLeftOut, TakeoverForgets, WindowOverflow, BoundForgotten, TailsLeftOut, RoutesIgnored,
	TwoPublishers, OldEpoch, Duplicates, FullForgets, InterruptionIgnored, AnchorForgotten,
	FutureForgotten, HalfRevision,
}
