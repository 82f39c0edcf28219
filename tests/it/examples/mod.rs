//! The four examples, each as its own documentation describes it, behind Envoy
//! and behind nginx with the configs that `tiergate proxy-config` prints.

mod documents;
mod drinks_api;
mod hello_api;
mod seismic_portal;
mod stage;
mod web_login;
