//! The contract of `directory::UserDirectory`, held by every store there is.
//!
//! A store joins with a type that implements [`DirectoryUnderTest`](stage::DirectoryUnderTest)
//! and `directory_conformance!(its::start);` in a module of its own; one that can be broken from outside is
//! [`Breakable`](stage::Breakable) too, and takes the stories of `outage`. What is special to one store is tested beside that line.

/// Makes a test of each story of the suite: `$start` is an `async fn() -> impl DirectoryUnderTest` that gives an empty directory.
macro_rules! directory_conformance {
    ($start:path) => {
        directory_conformance!(@each $start:
            users: [
                somebody_who_signs_in_is_kept_as_they_are,
                every_field_comes_back_as_it_was_written,
                a_change_counts_versions_and_sequences,
                what_changes_nothing_writes_nothing,
                an_id_that_is_not_there_is_missing,
                a_version_that_is_not_the_one_is_refused,
                an_event_counts_once,
                the_name_of_one_whom_scim_manages_is_taken,
                who_is_gone_is_a_tombstone,
                identities_are_bytes_and_nothing_else
            ]
            lists: [
                searches_find_what_they_name_and_nothing_else,
                hostile_searches_are_texts,
                filters_find_what_the_model_finds,
                pages_follow_each_other,
                a_page_goes_on_after_somebody_who_was_deleted
            ]
            groups: [
                a_group_gives_its_name_to_its_members,
                a_renamed_group_renames_itself_at_its_members,
                a_group_refuses_what_is_not_there,
                a_scim_client_changes_groups_of_its_own_users_only,
                groups_are_listed_by_name,
                a_group_counts_who_comes_and_goes_elsewhere,
                groups_are_compared_byte_for_byte
            ]
            tokens: [
                a_token_is_found_by_its_hash,
                a_token_too_many_is_refused,
                making_and_revoking_has_an_end,
                a_revoked_token_stays_and_counts_no_more,
                the_use_of_tokens_is_noted,
                a_sweep_takes_what_is_over_and_nothing_else,
                bookmarks_are_kept_and_dropped,
                the_probe_passes_and_leaves_nothing
            ]
            audit: [
                every_change_leaves_one_line,
                the_audit_holds_no_secret,
                old_lines_are_swept,
                the_audit_is_filtered_and_paged
            ]
            reports: [
                many_reports_are_taken_in_their_order,
                a_rehearsal_writes_nothing_and_says_the_same,
                changes_come_page_by_page
            ]
            rivals: [
                of_many_changes_of_one_user_none_is_lost,
                of_many_sign_ins_of_somebody_new_one_makes_them,
                who_follows_misses_nothing,
                of_many_with_one_event_one_counts,
                of_many_tokens_no_more_than_the_limit_are_kept
            ]
            model: [
                a_random_story_ends_as_in_memory
            ]
        );
    };
    (@each $start:path: $($story:ident: [$($name:ident),*])*) => {
        $($(
            #[test]
            fn $name() {
                $crate::stores::run(async {
                    $crate::directory_stores::$story::$name(&$start().await).await;
                });
            }
        )*)*
    };
}

mod audit;
mod far;
mod groups;
mod lists;
mod mariadb;
mod memory;
mod model;
mod outage;
mod postgres;
mod reports;
mod rivals;
mod servers;
mod sqlite;
mod stage;
mod tokens;
mod users;
