// Package erasure tests the contract of data deletion, clause by clause, over the real binary. docs/erasure.md tells it to users. Below, each clause and the
// tests that hold it, here or elsewhere; a test of this package fails when one of them is missing.
//
//	E1   exact ids; bad lists fail before any write       test/erasure.TestBadListsFailBeforeAnyWrite internal/rowtext.TestReadUserListGivesTheExactIDs internal/rowtext.TestReadUserListRefusesOtherInputWithoutRepeatingIDs
//	E2   one list, pinned                                 test/erasure.TestAListThatChangesIsNeverMixed
//	E3   the cut; no quiet period                         test/behaviour.TestADeletionAmongAllOtherWorkForgetsItsUsersAndNobodyElse test/erasure.TestAnImportThatWasAcceptedEarlierBringsNobodyBack internal/dataset.TestAnImportAcceptedBeforeTheCutLeavesTheUsersOut internal/dataset.TestErasuresBesidePutsAndImports
//	E4   served as never seen                             test/erasure.TestADeletionFromTheFirstMomentToTheLast internal/serve.TestHiddenUserIsServedAsNeverSeen
//	E5   nothing in exports                               test/erasure.TestADeletionFromTheFirstMomentToTheLast
//	E6   all other records as they were                   test/erasure.TestADeletionFromTheFirstMomentToTheLast test/mainjob.TestADeletionThatIsKilledForgetsTheSameRows
//	E7   numDeleted, through crashes                      test/erasure.TestACrashAtEveryStepGivesTheSameState test/mainjob.TestADeletionThatIsKilledForgetsTheSameRows
//	E8   models as if they had never held the users       test/erasure.TestADeletionFromTheFirstMomentToTheLast test/behaviour.TestModelsThatNobodyServesForgetToo test/erasure.TestEqualModelsAreMadeOnceWhateverCrashes
//	E9   no answer from an older generation; strict       test/erasure.TestADeletionFromTheFirstMomentToTheLast internal/serve.TestStrictServingPersonalizesNobodyWhileAGroupForgets
//	E10  every place of the inventory                     test/erasure.TestEveryFileIsClaimed internal/verify.TestALeakInEveryKindOfPlaceIsCaught
//	E11  superseded files are gone                        test/erasure.TestADeletionFromTheFirstMomentToTheLast internal/dataset.TestSweepWaitsForReaders
//	E12  customers' buckets are only read                 test/erasure.TestADeletionOnlyReadsTheCustomersBucket
//	E13  no id in any output                              test/erasure.TestADeletionFromTheFirstMomentToTheLast test/erasure.TestBadListsFailBeforeAnyWrite
//	E14  restored backups forget before they serve        test/erasure.TestARestoredBackupForgetsBeforeItsFirstAnswer internal/ledger.TestListsAreSealedForThirtyDays
//	E15  crash anywhere, same final state                 test/erasure.TestACrashAtEveryStepGivesTheSameState test/cli.TestTheProgressOfADeletionOutlivesCrashesAndNeverGoesBack
//	E16  readers see before or after                      internal/dataset.TestReadersSeeOneStateWhileTheTableChanges
//	E17  COMPLETED only after verification                test/erasure.TestADeletionThatCannotBeVerifiedFailsAndIsSafeToRepeat
//	E18  verification is code of its own                  internal/verify.TestALeakInEveryKindOfPlaceIsCaught internal/verify.TestFilesThatNobodyClaimsAreFound
//	E19  signed receipts without ids                      test/cli.TestEveryDeletionLeavesAReceiptThatCanBeCheckedElsewhere test/cli.TestADeletionThatDiesAroundItsReceiptHasOne internal/receipt.TestEveryMemberIsSigned internal/receipt.TestEveryByteIsSigned internal/receipt.TestABrokenChainIsFound
//	E20  no resurrection                                  test/erasure.TestWhatComesLateStaysOut internal/dataset.TestLateEventsAreKeptOutForADay
//	E21  speed                                            bench/engine bench/erasure
//	E22  five pending jobs; repeats converge              test/erasure.TestFivePendingDeletionsAndASecondRunOfAList test/behaviour.TestDeletionsThatOverlapRemoveEachRowOnce
package erasure
