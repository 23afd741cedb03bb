use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::*;

struct World {
    directory: Directory,
    hand: aphex_runtime::clock::Hand,
}

fn by() -> Actor {
    Actor::system()
}

fn password(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn world() -> World {
    let (clock, hand) = Clock::manual(Timestamp::from_second(1_704_542_400).unwrap());
    let storage = Storage::memory().unwrap();
    let directory = Directory::open(storage, clock.clone(), Audit::traced(clock)).await.unwrap();
    World { directory, hand }
}

fn ada() -> NewUser {
    NewUser {
        username: "ada".into(),
        name: "Ada Lovelace".into(),
        email: "Ada@example.com".into(),
        email_verified: true,
        active: true,
        groups: vec!["engineering".into()],
        password: Some(password("analytical engine")),
        ..NewUser::default()
    }
}

fn grace() -> NewUser {
    NewUser {
        username: "grace".into(),
        email: "grace@example.com".into(),
        active: true,
        ..NewUser::default()
    }
}

#[tokio::test]
async fn a_user_logs_in_by_name_or_address_in_any_case_and_only_with_their_password() {
    let World { directory, .. } = world().await;
    let ada = directory.create_user(ada(), &by()).await.unwrap();
    let right = password("analytical engine");
    for login in ["ada", "ADA", "ada@example.com", " Ada@Example.com "] {
        let user = directory.verify_password(login, &right).await.unwrap().unwrap();
        assert_eq!((user.uid, user.groups), (ada.uid.clone(), vec!["engineering".to_owned()]), "{login}");
    }
    assert!(directory.verify_password("ada", &password("analytical engines")).await.unwrap().is_none());
    assert!(directory.verify_password("eve", &right).await.unwrap().is_none());
    directory.create_user(grace(), &by()).await.unwrap();
    assert!(directory.verify_password("grace", &password("")).await.unwrap().is_none(), "no password is set");
}

#[tokio::test]
async fn nobody_can_take_what_another_logs_in_with() {
    let World { directory, .. } = world().await;
    directory.create_user(ada(), &by()).await.unwrap();
    for (username, email, field) in [
        ("ADA", "other@example.com", "username"),
        ("other", "ada@EXAMPLE.com", "email"),
        ("ada@example.com", "other@example.com", "username"),
    ] {
        let new = NewUser { username: username.into(), email: email.into(), ..NewUser::default() };
        match directory.create_user(new, &by()).await {
            Err(Error::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{username} {email}: {other:?}"),
        }
    }
    // A login that was given up is free.
    let uid = directory.by_login("ada").unwrap().unwrap().uid;
    let change = UserChange { username: Some("lovelace".into()), ..UserChange::default() };
    directory.change_user(&uid, change, &by()).await.unwrap();
    let new = NewUser { username: "ada".into(), email: "other@example.com".into(), ..NewUser::default() };
    let other = directory.create_user(new, &by()).await.unwrap();
    assert_eq!(other.pk, 2);
    directory.delete_user(&other.uid, &by()).await.unwrap();
    assert!(directory.by_login("ada").unwrap().is_none());
    assert_eq!(directory.create_user(grace(), &by()).await.unwrap().pk, 3, "numbers are not given again");
}

#[tokio::test]
async fn sessions_end_with_a_new_password_and_when_a_user_is_disabled() {
    let World { directory, .. } = world().await;
    let ada = directory.create_user(ada(), &by()).await.unwrap();
    let changed = directory.set_password(&ada.uid, &password("difference engine"), &by()).await.unwrap();
    assert_eq!(changed.session_epoch, 1);
    assert!(directory.verify_password("ada", &password("analytical engine")).await.unwrap().is_none());
    let change = |active| UserChange { active: Some(active), ..UserChange::default() };
    let disabled = directory.change_user(&ada.uid, change(false), &by()).await.unwrap();
    assert_eq!((disabled.session_epoch, disabled.active), (2, false));
    assert!(directory.verify_password("ada", &password("difference engine")).await.unwrap().is_none());
    directory.change_user(&ada.uid, change(true), &by()).await.unwrap();
    assert!(directory.verify_password("ada", &password("difference engine")).await.unwrap().is_some());
    // The name alone is no reason to log in again.
    let change = UserChange { name: Some("A. L.".into()), ..UserChange::default() };
    assert_eq!(directory.change_user(&ada.uid, change, &by()).await.unwrap().session_epoch, 2);
}

#[tokio::test]
async fn membership_follows_groups_through_renames_and_ends_with_them() {
    let World { directory, .. } = world().await;
    let names: Vec<String> = directory.groups().unwrap().into_iter().map(|group| group.name).collect();
    assert_eq!(
        names,
        ["admins", "engineering", "platform-admins", "platform-engineering", "platform-operators"]
    );
    let ada = directory.create_user(ada(), &by()).await.unwrap();
    let new = NewGroup { name: "payments".into(), users: vec![ada.pk], ..NewGroup::default() };
    let group = directory.create_group(new, &by()).await.unwrap();
    assert_eq!(group.users, [ada.pk]);
    let change = GroupChange { name: Some("billing".into()), ..GroupChange::default() };
    directory.change_group(&group.pk, change, &by()).await.unwrap();
    let groups = || directory.by_uid(&ada.uid).unwrap().unwrap().groups;
    assert_eq!(groups(), ["billing", "engineering"]);
    directory.remove_member("engineering", &ada.uid, &by()).await.unwrap();
    directory.add_member("admins", &ada.uid, &by()).await.unwrap();
    directory.delete_group("billing", &by()).await.unwrap();
    assert_eq!(groups(), ["admins"]);
    assert!(matches!(directory.add_member("billing", &ada.uid, &by()).await, Err(Error::NotFound { .. })));
    let twice = NewGroup { name: "Admins".into(), ..NewGroup::default() };
    assert!(matches!(directory.create_group(twice, &by()).await, Err(Error::Invalid { field: "name", .. })));
}

#[tokio::test]
async fn groups_cannot_be_above_themselves() {
    let World { directory, .. } = world().await;
    let admins = directory.group("admins").unwrap().unwrap();
    let new = NewGroup { name: "below".into(), parent: Some(admins.pk.clone()), ..NewGroup::default() };
    let below = directory.create_group(new, &by()).await.unwrap();
    for parent in [below.pk, admins.pk.clone(), "nothing".into()] {
        let change = GroupChange { parent: Parent::Is(Some(parent)), ..GroupChange::default() };
        let refused = directory.change_group(&admins.pk, change, &by()).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "parent", .. })));
    }
}

fn administrator() -> NewAdministrator {
    NewAdministrator {
        username: "root".into(),
        name: String::new(),
        email: "root@example.com".into(),
        password: password("first of them all"),
    }
}

#[tokio::test]
async fn the_link_for_the_first_administrator_works_once_and_not_for_ever() {
    let World { directory, hand } = world().await;
    assert!(directory.needs_setup().unwrap());
    let old = directory.create_setup_link().await.unwrap();
    let link = directory.create_setup_link().await.unwrap();
    assert!(!directory.setup_link_works(&old).unwrap(), "a new link replaces the old one");
    let weak = NewAdministrator { password: password("short"), ..administrator() };
    let refused = directory.redeem_setup_link(&link, weak, None).await;
    assert!(matches!(refused, Err(Error::Invalid { field: "password", .. })));
    let user = directory.redeem_setup_link(&link, administrator(), None).await.unwrap();
    assert_eq!(user.groups, ["admins", "platform-admins"]);
    assert!(!directory.needs_setup().unwrap());
    let again = directory.redeem_setup_link(&link, administrator(), None).await;
    assert!(matches!(again, Err(Error::SetupLink)));
    let late = directory.create_setup_link().await.unwrap();
    hand.advance(SETUP_LIFETIME + Duration::from_secs(1));
    assert!(matches!(directory.redeem_setup_link(&late, administrator(), None).await, Err(Error::SetupLink)));
}

#[tokio::test]
async fn a_token_acts_for_its_user_within_its_scopes_until_it_ends() {
    let World { directory, hand } = world().await;
    let new =
        NewUser { username: "robot".into(), active: true, kind: Kind::ServiceAccount, ..NewUser::default() };
    let robot = directory.create_user(new, &by()).await.unwrap();
    let token = |identifier: &str, scope, expires| NewToken {
        identifier: identifier.into(),
        scopes: vec![scope],
        expires,
        ..NewToken::default()
    };
    let end = Timestamp::from_second(1_704_542_460).unwrap();
    let (_, short) = directory
        .create_token(&robot.uid, token("short", Scope::UsersWrite, Some(end)), &by())
        .await
        .unwrap();
    let (_, long) =
        directory.create_token(&robot.uid, token("long", Scope::GroupsRead, None), &by()).await.unwrap();
    let principal = directory.authenticate(&short).unwrap().unwrap();
    assert_eq!(principal.user.username, "robot");
    let may = Scope::ALL.map(|scope| principal.may(scope));
    assert_eq!(may, [true, true, false, false, false, false, false, false]);
    assert!(!format!("{directory:?}{principal:?}").contains(short.expose_secret()));
    hand.advance(Duration::from_mins(1));
    assert!(directory.authenticate(&short).unwrap().is_none(), "it has ended");
    assert!(directory.authenticate(&long).unwrap().is_some());
    assert!(directory.authenticate(&password("guess")).unwrap().is_none());
    let change = UserChange { active: Some(false), ..UserChange::default() };
    directory.change_user(&robot.uid, change, &by()).await.unwrap();
    assert!(directory.authenticate(&long).unwrap().is_none(), "its user is disabled");
    directory.delete_user(&robot.uid, &by()).await.unwrap();
    assert!(directory.tokens().unwrap().is_empty());
}

#[tokio::test]
async fn people_and_their_groups_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let storage = Storage::open(folder.path()).await.unwrap();
        let clock = Clock::system();
        let audit = Audit::open(folder.path(), clock.clone()).unwrap();
        (Directory::open(storage.clone(), clock, audit).await.unwrap(), storage)
    };
    let (directory, storage) = open().await;
    directory.create_user(ada(), &by()).await.unwrap();
    directory.delete_group("platform-operators", &by()).await.unwrap();
    storage.close().await;
    drop(directory);
    let (directory, _storage) = open().await;
    assert!(directory.verify_password("ada", &password("analytical engine")).await.unwrap().is_some());
    assert_eq!(directory.groups().unwrap().len(), 4, "a group that was deleted does not come back");
    let log = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    assert!(log.contains("user.created") && !log.contains("analytical"), "{log}");
}

fn arrival(subject: &str, username: &str, email: &str) -> Arrival {
    Arrival {
        issuer: "https://id.example.com".into(),
        subject: subject.into(),
        username: username.into(),
        email: email.into(),
        email_verified: true,
        groups: vec!["remote".into(), "system:masters".into()],
        ..Arrival::default()
    }
}

#[tokio::test]
async fn people_of_another_provider_are_known_by_subject_and_take_nobodys_place() {
    let World { directory, .. } = world().await;
    directory.create_user(ada(), &by()).await.unwrap();
    let thief = directory.arrive(arrival("1", "ada", "ada@example.com"), None).await;
    assert!(matches!(thief, Err(Error::Invalid { field: "email", .. })), "{thief:?}");
    let user = directory.arrive(arrival("1", "ada", "other@example.com"), None).await.unwrap();
    assert_eq!((user.username.as_str(), &user.groups), ("other@example.com", &vec!["remote".to_owned()]));
    assert!(directory.verify_password("other@example.com", &password("")).await.unwrap().is_none());
    directory.add_member("admins", &user.uid, &by()).await.unwrap();
    let again = directory.arrive(arrival("1", "ada", "new@example.com"), None).await.unwrap();
    assert_eq!((&again.uid, again.email.as_str()), (&user.uid, "new@example.com"));
    assert_eq!(again.groups, ["admins", "remote"], "what is given here stays");
    assert!(directory.by_login("new@example.com").unwrap().is_some());
    let odd = directory.arrive(arrival("2", "", "o'neil@example.com"), None).await.unwrap();
    assert!(odd.username.starts_with("user-"), "{}", odd.username);
}
