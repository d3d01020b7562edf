"""The product's protections, each with the patch that takes it away and the tests that must then turn red.

A patch is text replaced by text, in files of the product.  Where the text is not found exactly once, the product has
moved on and the patch must follow: `tests/unit/test_mutants_apply.py` says so.
"""

from dataclasses import dataclass
from pathlib import Path

PROTOCOL = "tests/scenarios/test_protocol.py::test_the_protocol_holds"


class DoesNotApply(Exception):
    """The product no longer has the text that a patch replaces, or has it more than once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """One text of one file, and what stands there without the protection."""

    file: str
    old: str
    new: str

    def applied(self, root: Path) -> str:
        """The file's text with the patch.  Raises `DoesNotApply`."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise DoesNotApply(f"{self.file} has {text.count(self.old)} times, not once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """A protection switched off; `tests` are few, and at least one of them must notice."""

    name: str
    without: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        name="verification",
        without="what arrived is not compared with what was registered",
        patches=(
            Patch(
                file="transfer/steps/verify.py",
                old="        if proved is not None and proved.md5 == item.md5:\n            good",
                new="        if proved is not None:\n            good",
            ),
        ),
        tests=(
            "tests/failures/test_failures_store.py::test_a_bit_turned_on_the_way_is_found_and_sent_again",
        ),
    ),
    Mutation(
        name="lease-guard",
        without="a guarded transaction does not ask whether the lease is still held",
        patches=(
            Patch(
                file="transfer/ledger/leases.py",
                old="    if renewed.rowcount != 1:",
                new="    if renewed.rowcount > 1:",
            ),
        ),
        tests=(
            f"{PROTOCOL}[zombie_finishes_verifying]",
            "tests/ledger/test_ledger_leases.py::test_a_zombie_writes_nothing",
        ),
    ),
    Mutation(
        name="lease-clock",
        without="a holder acts although its lease has ended by its own clock",
        patches=(
            Patch(
                file="transfer/ledger/leases.py",
                old="        if self._forfeited or self._monotonic() >= self._act_until:",
                new="        if self._forfeited:",
            ),
        ),
        tests=(
            "tests/ledger/test_ledger_leases.py::test_a_holder_that_is_late_by_its_own_clock_does_not_even_ask",
            "tests/ledger/test_ledger_leases.py::test_the_holder_stops_before_the_row_is_free",
        ),
    ),
    Mutation(
        name="fence",
        without="other attempts' partials are not removed before the rename",
        patches=(
            Patch(
                file="transfer/steps/publish.py",
                old="    fenced, unfenced = _fence(work, ours)\n",
                new="    fenced, unfenced = list(ours), list[Failure]()\n",
            ),
        ),
        tests=(f"{PROTOCOL}[zombie_renames_an_old_copy]",),
    ),
    Mutation(
        name="fresh-partial-names",
        without="all attempts write to one partial",
        patches=(
            Patch(
                file="transfer/paths.py",
                old='    return f".{dataset}.{attempt}.part"',
                new='    return f".{dataset}.00000000.part"',
            ),
            Patch(
                file="transfer/transports/local.py",
                old="_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SHARED",
                new="_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SHARED",
            ),
        ),
        tests=(f"{PROTOCOL}[zombie_opens_a_partial_late]",),
    ),
    Mutation(
        name="guarded-verified",
        without="VERIFIED is written by whoever comes, with or without the lease",
        patches=(
            Patch(
                file="transfer/steps/verify.py",
                old="    work.ledger.write(work.lease, lambda tx: tx.move(moves))\n    return failures",
                new="    with work.ledger.unguarded() as tx:\n        tx.move(moves)\n    return failures",
            ),
        ),
        tests=(f"{PROTOCOL}[zombie_finishes_verifying]",),
    ),
    Mutation(
        name="read-back",
        without="Alyx is not read again after our PATCH",
        patches=(
            Patch(
                file="transfer/steps/record.py",
                old="    same, differ, gone = read_again(work, tried)\n",
                new="    same = [fresh for fresh in same if fresh.item in tried]\n    differ, gone = [], []\n",
            ),
            Patch(
                file="transfer/steps/record.py",
                old="    arrived = [fresh for fresh in same if fresh.announced]\n",
                new="    arrived = list(same)\n",
            ),
            Patch(
                file="transfer/steps/record.py",
                old="for fresh in same if not fresh.announced\n    ]",
                new="for fresh in same[:0]\n    ]",
            ),
        ),
        tests=(f"{PROTOCOL}[patch_between_reading_and_announcing]",),
    ),
    Mutation(
        name="reconcile",
        without="what Alyx says of closed rows is never compared",
        patches=(
            Patch(
                file="transfer/steps/reconcile.py",
                old="            if copy is not None and not copy.owned:\n",
                new="            if copy is not None and not copy.owned and not mark:\n",
            ),
        ),
        tests=(
            f"{PROTOCOL}[foreign_announcement_over_closed_rows]",
            f"{PROTOCOL}[lost_flag_over_closed_rows]",
        ),
    ),
    Mutation(
        name="look-before-register",
        without="a session is registered without looking what Alyx has of it",
        patches=(
            Patch(
                file="transfer/steps/register.py",
                old="    known = by_path(work.catalog.datasets_of_session(eid))\n    to_register",
                new="    known: Paths = {}\n    to_register",
            ),
        ),
        tests=(
            "tests/scenarios/test_register.py::test_what_alyx_has_by_the_same_hash_is_adopted_without_any_write",
            "tests/scenarios/test_register.py::"
            "test_what_was_changed_elsewhere_is_held_and_neither_registered_nor_pushed",
        ),
    ),
    Mutation(
        name="look-after-lost-answer",
        without="a registration whose answer was lost is asked again at once",
        patches=(
            Patch(
                file="transfer/steps/registration.py",
                old="        return _look_instead(work, session, eid, items, error)\n",
                new="        return _register_once(work, session, eid, items, known) if error else []\n",
            ),
        ),
        tests=(f"{PROTOCOL}[register_answer_lost]",),
    ),
    Mutation(
        name="host-key-ssh",
        without="ssh goes on whatever key the server shows",
        patches=(
            Patch(
                file="transfer/transports/sftp/carriers/command_line.py",
                old='    "StrictHostKeyChecking=yes",\n',
                new='    "StrictHostKeyChecking=no",\n',
            ),
        ),
        tests=(
            "tests/contract/transports/test_sftp_login.py::test_a_changed_key_is_never_accepted[embedded-ssh-True]",
            "tests/contract/transports/test_sftp_login.py::test_a_changed_key_is_never_accepted[embedded-ssh-False]",
            "tests/contract/transports/test_sftp_login.py::test_a_key_that_is_not_known_is_not_accepted[embedded-ssh]",
        ),
    ),
    Mutation(
        name="host-key-paramiko",
        without="paramiko goes on whatever key the server shows",
        patches=(
            Patch(
                file="transfer/transports/sftp/carriers/server_keys.py",
                old="    if shown not in known:\n",
                new="    if shown not in known and not known:\n",
            ),
        ),
        tests=(
            "tests/contract/transports/test_sftp_login.py::"
            "test_a_changed_key_is_never_accepted[embedded-paramiko-True]",
            "tests/contract/transports/test_sftp_login.py::"
            "test_a_changed_key_is_never_accepted[embedded-paramiko-False]",
        ),
    ),
    Mutation(
        name="canary",
        without="a store's hash command is believed unasked",
        patches=(
            Patch(
                file="transfer/steps/verify.py",
                old="    answer = conformance.believe_remote_hash(work.transport, PurePosixPath())\n",
                new="    answer = True\n",
            ),
        ),
        tests=(
            "tests/failures/test_failures_store.py::test_a_store_that_hashes_from_memory_is_not_believed",
        ),
    ),
    Mutation(
        name="sampled-read-back",
        without="no file is read back beside a believed hash command",
        patches=(
            Patch(
                file="transfer/steps/verify.py",
                old="        if seen is not None and seen.md5 != told.get(paths[item.id]):\n",
                new="        if seen is not None and not paths:\n",
            ),
        ),
        tests=(
            "tests/failures/test_failures_store.py::test_one_file_in_a_hundred_is_read_back_and_a_lie_demotes_the_store",
        ),
    ),
    Mutation(
        name="source-settles",
        without="nobody looks whether the source was written to while it was read",
        patches=(
            Patch(
                file="transfer/digests.py",
                old="(after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns)",
                new="after.st_size < 0",
            ),
        ),
        tests=(
            "tests/unit/test_digests.py::test_a_file_that_is_written_to_meanwhile_has_no_digest",
            "tests/scenarios/test_discover.py::test_a_file_written_while_it_is_read_is_no_hash",
        ),
    ),
    Mutation(
        name="sent-hash",
        without="what was read while sending is not compared with what was registered",
        patches=(
            Patch(
                file="transfer/steps/push.py",
                old="        elif outcome.md5 != item.md5 or outcome.size != item.size:\n",
                new="        elif outcome.size != item.size:\n",
            ),
        ),
        tests=(
            "tests/scenarios/test_one_file.py::test_a_file_that_changed_unseen_is_hashed_again_and_arrives",
        ),
    ),
    Mutation(
        name="ftps-certificate",
        without="any certificate will do",
        patches=(
            Patch(
                file="transfer/transports/ftp/dialling.py",
                old="    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
                new=(
                    "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n"
                    "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n"
                ),
            ),
        ),
        tests=(
            "tests/contract/transports/test_ftp_login.py::"
            "test_a_wrong_certificate_is_refused_before_the_login[pyftpdlib-expired]",
            "tests/contract/transports/test_ftp_login.py::test_an_unknown_authority_is_refused[another]",
        ),
    ),
    Mutation(
        name="path-confinement",
        without="'..' in a path from Alyx is followed",
        patches=(
            Patch(
                file="transfer/paths.py",
                old='    elif not {"", ".", ".."}.isdisjoint(parts):\n',
                new='    elif not {"", "."}.isdisjoint(parts):\n',
            ),
        ),
        tests=(
            "tests/unit/test_paths.py::test_an_unsafe_path_is_refused",
            "tests/unit/test_paths.py::test_a_path_that_is_let_through_stays_below_its_root",
            "tests/scenarios/test_scan.py::test_a_path_that_leaves_its_session_is_reported_and_never_looked_at",
        ),
    ),
    Mutation(
        name="no-links",
        without="a folder of the lab that became a link is followed",
        patches=(
            Patch(
                file="transfer/opening.py",
                old="        return os.open(path.name, _READ, dir_fd=inside)\n",
                new="        return os.open(path, os.O_RDONLY) if inside else -1\n",
            ),
            Patch(
                file="transfer/opening.py",
                old="    with _passed(path.parent, below) as inside:\n        return",
                new="    with contextlib.nullcontext(1) as inside:\n        return",
            ),
        ),
        tests=(
            "tests/security/test_links.py::test_a_folder_that_becomes_a_link_before_the_hash_is_not_followed",
            "tests/security/test_links.py::test_a_folder_that_becomes_a_link_before_the_send_is_not_followed",
        ),
    ),
    Mutation(
        name="adopt-proved",
        without="what stands under the final name with the right size is taken for a copy",
        patches=(
            Patch(
                file="transfer/steps/push.py",
                old="        if seen is not None and seen.md5 == item.md5:\n            right",
                new="        if seen is not None:\n            right",
            ),
        ),
        tests=(
            "tests/failures/test_failures_store.py::"
            "test_what_stands_with_other_bytes_is_never_announced_and_is_replaced",
        ),
    ),
    Mutation(
        name="settle-central",
        without="an item is held over a wrong announcement",
        patches=(
            Patch(
                file="transfer/aftermath.py",
                old="            work.ensure()\n            work.catalog.announce(record.id, False)\n",
                new="            work.ensure()\n",
            ),
        ),
        tests=(
            "tests/scenarios/test_holds.py::test_a_wrong_announcement_is_withdrawn_before_the_item_is_held",
        ),
    ),
    Mutation(
        name="withdraw-before-sending",
        without="what a dead worker announced stands until the next version has arrived",
        patches=(
            Patch(
                file="transfer/steps/push.py",
                old="    withdraw(work, [found for found in fresh if found.item.id not in settled])\n",
                new="",
            ),
            Patch(
                file="transfer/steps/push.py",
                old="        withdraw(work, differ)\n",
                new="",
            ),
        ),
        tests=(f"{PROTOCOL}[death_before_anybody_took_over]",),
    ),
    Mutation(
        name="notice-told-when-sent",
        without="what could not be sent counts as told",
        patches=(
            Patch(
                file="transfer/notifying.py",
                old="notices.remember(ledger, target.id, found, sent=went)",
                new="notices.remember(ledger, target.id, found, sent=True)",
            ),
        ),
        tests=(
            "tests/scenarios/test_notices_round.py::"
            "test_a_failed_message_is_sent_with_the_next_round_and_its_failing_is_seen",
        ),
    ),
    Mutation(
        name="notice-library-silent",
        without="the HTTP library logs the token in a messenger's address",
        patches=(
            Patch(
                file="config/messenger.py",
                old="    return not _SENDING.get()\n",
                new="    return True\n",
            ),
        ),
        tests=("tests/scenarios/test_notices_round.py::test_no_part_of_an_address_is_said_anywhere",),
    ),
    Mutation(
        name="notice-redirects",
        without="a redirect carries a messenger's login to somebody else",
        patches=(Patch(file="config/messenger.py", old="http_redirects=False", new="http_redirects=True"),),
        tests=("tests/scenarios/test_notices_round.py::test_a_redirect_does_not_carry_the_login_elsewhere",),
    ),
    Mutation(
        name="one-ledger",
        without="a second ledger may speak for a lab's repository",
        patches=(Patch(file="transfer/agent.py", old="    if owner != uuid:\n", new="    if not owner:\n"),),
        tests=("tests/scenarios/test_agent.py::test_a_second_ledger_for_the_repository_is_refused",),
    ),
    Mutation(
        name="restored-ledger",
        without="a ledger goes on from an old backup as if nothing had happened since",
        patches=(
            Patch(
                file="transfer/agent.py",
                old='(int(told.get("epoch", 0)), int(told.get("event", 0))) > (epoch, last_event)',
                new='(int(told.get("epoch", 0)), 0) > (epoch, last_event)',
            ),
        ),
        tests=("tests/scenarios/test_agent.py::test_a_ledger_restored_from_an_old_backup_is_refused",),
    ),
    Mutation(
        name="schema-floor",
        without="a program works on a ledger that a newer one changed",
        patches=(
            Patch(
                file="transfer/ledger/schema.py",
                old='    return connection.scalar(text("SELECT revision FROM schema_floor")) in _known()\n',
                new="    return True\n",
            ),
        ),
        tests=(
            "tests/integration/test_rolling_upgrade.py::test_an_older_program_refuses_a_ledger_that_a_newer_one_changed",
        ),
    ),
    Mutation(
        name="a-hand-for-the-small",
        without="every hand of a worker may take a large file",
        patches=(
            Patch(
                file="transfer/hands.py",
                old="        self.is_ours = self._hands.acquire(blocking=False)\n",
                new="        self.is_ours = True\n",
            ),
        ),
        tests=("tests/scenarios/test_large_files.py::test_one_hand_of_a_worker_never_takes_a_large_file",),
    ),
    Mutation(
        name="a-place-for-the-small",
        without="large files may take every place at a store",
        patches=(
            Patch(
                file="transfer/ledger/gates.py",
                old="moving >= case((places > 1, places - 1), else_=1)",
                new="moving >= places",
            ),
        ),
        tests=(
            "tests/scenarios/test_large_files.py::test_one_place_at_a_store_is_never_taken_by_a_large_file",
        ),
    ),
    Mutation(
        name="stopped-by-its-reader",
        without="a worker's broker connection is closed by another thread than reads it",
        patches=(
            Patch(
                file="workers/service.py",
                old='    if str(worker.app.conf.broker_url).startswith("memory:"):\n        worker.stop()\n',
                new="    worker.stop()\n",
            ),
        ),
        tests=(
            "tests/integration/test_workers.py::test_a_worker_is_stopped_by_the_thread_that_reads_its_broker",
        ),
    ),
    Mutation(
        name="complete-is-right",
        without="pipelines are told of files whose copy is not the registered version",
        patches=(
            Patch(
                file="transfer/ledger/complete.py",
                old="    copies.c.proved_md5 == datasets.c.registered_md5,\n",
                new="",
            ),
            Patch(
                file="transfer/ledger/complete.py",
                old="and_(there.c.condition == Condition.PRESENT, there.c.proved_md5 == here.c.registered_md5)",
                new="there.c.condition == Condition.PRESENT",
            ),
        ),
        tests=(
            "tests/pipeline/test_pipeline_datajoint.py::test_a_copy_that_is_not_right_keeps_its_session_back",
        ),
    ),
    Mutation(
        name="round-once",
        without="each of two beats has every round walked",
        patches=(
            Patch(
                file="transfer/ledger/jobs.py",
                old="        if found is None or not is_due(when, found.last_run, now):\n",
                new="        if found is None:\n",
            ),
        ),
        tests=("tests/integration/test_schedule.py::test_a_job_is_due_once_in_its_interval",),
    ),
)
