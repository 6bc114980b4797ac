//! What is told of a store while it changes and answers are lost.

use super::*;

const A_WHILE: Duration = Duration::from_secs(300);

fn items(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Fingerprint> {
    numbers.into_iter().map(item).collect()
}

/// Spread, as hashes are.
fn item(number: u64) -> Fingerprint {
    Fingerprint((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn list(numbers: impl IntoIterator<Item = u64>) -> Vec<Fingerprint> {
    items(numbers).into_iter().collect()
}

/// A store with these items, of which the scheduler knows.
fn told(numbers: impl IntoIterator<Item = u64>, now: Instant) -> Told {
    let mut told = Told::default();
    told.found(items(numbers), now);
    told.was_answered(&told.news());
    assert_eq!(told.news().holds, None);
    told
}

#[test]
fn nothing_is_told_of_a_store_that_nobody_looked_at() {
    let mut told = Told::default();
    told.hear_of(items([1]), Instant::now());
    assert_eq!((told.news(), told.everything()), (News::default(), News::default()));
}

#[test]
fn the_whole_is_told_until_it_was_answered() {
    let mut told = Told::default();
    told.found(items(0..50), Instant::now());
    for _ in 0..2 {
        let news = told.news();
        assert!(items(0..50).iter().all(|item| news.holds.as_ref().unwrap().may_have(*item)));
    }
    told.was_answered(&told.news());
    assert_eq!((told.news().holds, told.news().gained), (None, Vec::new()));
}

#[test]
fn what_came_is_told_until_it_was_answered_and_then_no_more() {
    let now = Instant::now();
    let mut told = told(0..50, now);
    told.found(items(0..52), now);
    let first = told.news();
    assert_eq!((&first.holds, &first.gained), (&None, &list(50..52)));
    told.found(items(0..53), now);
    assert_eq!(told.news().gained.len(), 3);
    told.was_answered(&first);
    assert_eq!(told.news().gained, list(52..53));
    told.was_answered(&told.news());
    assert_eq!(told.news().gained, []);
}

#[test]
fn an_answer_to_older_news_does_not_settle_a_newer_whole() {
    let now = Instant::now();
    let mut told = told(0..50, now);
    told.found(items(1..51), now);
    let before = told.news();
    told.refresh(A_WHILE, now + A_WHILE);
    told.was_answered(&before);
    assert!(told.news().holds.is_some());
}

#[test]
fn what_went_makes_the_whole_be_told_again_but_not_at_once() {
    let now = Instant::now();
    let mut told = told(0..50, now);
    told.found(items(1..50), now);
    told.refresh(A_WHILE, now + A_WHILE / 2);
    assert_eq!((told.news().holds, told.news().gained), (None, Vec::new()));
    told.refresh(A_WHILE, now + A_WHILE);
    let holds = told.news().holds.unwrap();
    assert!(!holds.may_have(item(0)) && holds.may_have(item(1)));
    told.was_answered(&told.news());
    told.refresh(A_WHILE, now + A_WHILE * 3);
    assert_eq!(told.news().holds, None);
}

#[test]
fn more_than_a_beat_can_tell_is_told_as_a_whole() {
    let now = Instant::now();
    let few = 10_000 + MAX_GAINED as u64;
    let mut told = told(0..10_000, now);
    told.found(items(0..few), now);
    assert_eq!((told.news().holds, told.news().gained.len()), (None, MAX_GAINED));
    told.found(items(0..few + 1), now);
    assert!(told.news().holds.unwrap().may_have(item(few)));
    assert_eq!(told.news().gained, []);
}

#[test]
fn a_filter_that_became_too_small_is_made_anew() {
    let now = Instant::now();
    let mut told = told([], now);
    told.found(items(0..100), now);
    assert_eq!(told.news().holds, None);
    told.was_answered(&told.news());
    told.found(items(0..101), now);
    assert!(told.news().holds.is_some());
}

#[test]
fn what_was_heard_of_is_told_at_once_and_is_not_lost_where_somebody_looked_before_it_came() {
    let now = Instant::now();
    let mut told = told(0..50, now);
    told.looking();
    told.hear_of(items([49, 50]), now);
    assert_eq!(told.news().gained, list([50]));
    told.found(items(0..50), now);
    told.refresh(A_WHILE, now + A_WHILE);
    assert_eq!((told.news().holds, told.news().gained), (None, list([50])));
    told.looking();
    told.found(items(0..50), now);
    told.refresh(A_WHILE, now + A_WHILE);
    assert!(!told.news().holds.unwrap().may_have(item(50)));
}

#[test]
fn hello_has_everything_also_what_was_told_before() {
    let now = Instant::now();
    let mut told = told(0..50, now);
    told.found(items(0..51), now);
    let everything = told.everything();
    assert!(items(0..51).iter().all(|item| everything.holds.as_ref().unwrap().may_have(*item)));
    told.hear_of([item(51)], now);
    told.was_answered(&everything);
    assert_eq!((told.news().holds, told.news().gained), (None, list([51])));
}
